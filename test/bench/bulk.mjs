import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { PipeClient, TerminalClient } from './client.mjs';
import { CpuMeter } from './processes.mjs';
import { rotated } from './statistics.mjs';

/** @typedef {import('./scratch.mjs').Scratch} Scratch */

/**
 * One way for a program's output to a client. `exact`: every byte must arrive, and is checked; otherwise the client may
 * skip what it has no time to show (tmux does), and the end of the output counts.
 * @typedef {{ name: string, exact: boolean, terminal: boolean, source: Source, command: string[], env: NodeJS.ProcessEnv, processes?: import('./processes.mjs').Watched[] }} BulkWay
 * @typedef {{ name: string, seconds: number[], arrived: number[], cpu: Record<string, number> }} BulkResult by round: seconds, and the share of the bytes that arrived; CPU seconds by process, all rounds
 */

/** A log file as services write them. */
export class LogFile {
  /** @param {string} path @param {number} shownBytes @param {string} digest */
  constructor(path, shownBytes, digest) {
    this.path = path;
    /** Its size in a terminal, which ends each line with CR LF. */
    this.shownBytes = shownBytes;
    /** SHA-256 of that. */
    this.digest = digest;
  }

  /**
   * @param {Scratch} scratch
   * @param {number} megabytes
   */
  static async make(scratch, megabytes) {
    const path = scratch.path('service.log');
    const file = createWriteStream(path);
    const hash = createHash('sha256');
    let size = 0;
    let shownBytes = 0;
    const random = generator(20_260_314);
    for (let number = 0; size < megabytes * 1e6; ) {
      const lines = [];
      for (let count = 0; count < 2000; count++) lines.push(logLine(++number, random));
      const block = Buffer.from(`${lines.join('\n')}\n`);
      const shown = Buffer.from(`${lines.join('\r\n')}\r\n`);
      size += block.length;
      shownBytes += shown.length;
      hash.update(shown);
      if (!file.write(block)) await once(file, 'drain');
    }
    file.end();
    await once(file, 'close');
    return new LogFile(path, shownBytes, hash.digest('hex'));
  }
}

/**
 * Repeatable numbers from 0 up to `below` (mulberry32).
 * @param {number} seed
 */
function generator(seed) {
  let state = seed;
  return (/** @type {number} */ below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/**
 * @param {number} number
 * @param {(below: number) => number} random
 */
function logLine(number, random) {
  const at = new Date(1_773_479_213_000 + number * 7).toISOString();
  const level = ['\u001b[32mINFO\u001b[0m ', '\u001b[32mINFO\u001b[0m ', '\u001b[33mWARN\u001b[0m ', 'DEBUG'][
    random(4)
  ];
  const where = ['http', 'db.pool', 'scheduler', 'auth'][random(4)];
  const what = [
    `GET /api/v1/orders/${random(1e6)} 200 ${random(900)} ms, ${random(65_536)} bytes`,
    `connection ${random(64)} returned after ${random(3000)} ms, ${random(16)} waiting`,
    `job ${random(2 ** 32).toString(16)} done – ${random(100)} % of the queue left`,
    `token of user ${random(1e5)} renewed until ${at}; trace=${random(2 ** 32).toString(16)}${random(2 ** 32).toString(16)}`,
  ][random(4)];
  return `${at} ${level} [worker-${random(8)}] ${where}: #${number} ${what}`;
}

/** A program that shows the log each time it is told to, and then a mark that says whose turn it was. */
export class Source {
  #fifo;
  #log;

  /** @param {string} fifo @param {LogFile} log */
  constructor(fifo, log) {
    this.#fifo = fifo;
    this.#log = log;
  }

  /**
   * @param {Scratch} scratch
   * @param {string} name
   * @param {LogFile} log
   */
  static async make(scratch, name, log) {
    const fifo = scratch.path(`${name}.fifo`);
    await scratch.run('mkfifo', [fifo]);
    return new Source(fifo, log);
  }

  get script() {
    const turn = `cat ${this.#log.path}; echo "end-of-log-$turn"`;
    return `stty -echo; echo ready; while read -r turn < ${this.#fifo}; do ${turn}; done`;
  }

  /** @param {number} turn */
  async start(turn) {
    // Not through the terminal: so a reader that cannot type is told like all others.
    await writeFile(this.#fifo, `${turn}\n`);
  }
}

/**
 * @param {Scratch} scratch
 * @param {BulkWay[]} ways
 * @param {LogFile} log
 * @param {{ rounds: number }} options
 * @returns {Promise<BulkResult[]>}
 */
export async function measureBulk(scratch, ways, log, { rounds }) {
  const runs = [];
  for (const way of ways) {
    scratch.check();
    const Client = way.terminal ? TerminalClient : PipeClient;
    const client = new Client(way.name, way.command, { env: way.env, cwd: scratch.root });
    scratch.defer(() => client.close());
    await client.until('ready\r\n'.slice(0, way.exact ? undefined : 'ready'.length));
    runs.push({
      ...{ way, client, meter: new CpuMeter() },
      ...{ seconds: /** @type {number[]} */ ([]), arrived: /** @type {number[]} */ ([]) },
    });
  }
  // The first round warms up and does not count.
  for (let round = -1; round < rounds; round++) {
    for (const { way, client, meter, seconds, arrived } of rotated(runs, round + 1)) {
      const mark = `end-of-log-${round}${way.exact ? '\r\n' : ''}`;
      if (round >= 0) meter.start([{ label: 'client', pid: client.pid }, ...(way.processes ?? [])]);
      const coming = client.collectUntil(mark);
      const started = performance.now();
      await Promise.all([way.source.start(round), coming]);
      const took = (performance.now() - started) / 1000;
      meter.stop();
      const share = checkArrived(way, await coming, log, mark);
      if (round < 0) continue;
      seconds.push(took);
      arrived.push(share);
    }
  }
  for (const { client } of runs) await client.close();
  return runs.map(({ way, meter, seconds, arrived }) => {
    const cpu = [...meter.used].map(([label, micros]) => [label, micros / 1e6]);
    return { name: way.name, seconds, arrived, cpu: Object.fromEntries(cpu) };
  });
}

/**
 * The share of the log that arrived. Throws where bytes are missing, doubled or wrong that may not be.
 * @param {BulkWay} way
 * @param {Buffer[]} chunks
 * @param {LogFile} log
 * @param {string} mark
 */
function checkArrived(way, chunks, log, mark) {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (!way.exact) return Math.min(1, bytes / log.shownBytes);
  const expected = log.shownBytes + mark.length;
  if (bytes !== expected) throw new Error(`${way.name}: ${bytes} bytes arrived instead of ${expected}`);
  const all = Buffer.concat(chunks);
  const digest = createHash('sha256').update(all.subarray(0, log.shownBytes)).digest('hex');
  if (digest !== log.digest) {
    throw new Error(
      `${way.name}: the right number of bytes arrived, but not the right ones: ${firstDifference(all, log)}`,
    );
  }
  return 1;
}

/**
 * @param {Buffer} bytes
 * @param {LogFile} log
 */
function firstDifference(bytes, log) {
  const shown = Buffer.from(readFileSync(log.path, 'latin1').replaceAll('\n', '\r\n'), 'latin1');
  const at = shown.findIndex((byte, index) => bytes[index] !== byte);
  return `byte ${at} begins ${JSON.stringify(bytes.subarray(at, at + 40).toString())}`;
}

/**
 * Megabytes a second, by round.
 * @param {BulkResult} result
 * @param {LogFile} log
 */
export function bulkRates(result, log) {
  return result.seconds.map((seconds) => log.shownBytes / 1e6 / seconds);
}
