import { cpus, loadavg } from 'node:os';
import { bulkRates } from './bulk.mjs';
import { echoMedians, echoRatio } from './echo.mjs';
import { hops as hopNames } from './hops.mjs';
import { perSession } from './memory.mjs';
import { median, medianRatio } from './statistics.mjs';

/** Names of what is compared, as they are printed. */
export const names = {
  bare: 'bare PTY',
  tmux: 'tmux',
  ssh: 'ssh to this machine',
  here: 'niia, this machine',
  embedded: 'niia, gateway in the daemon',
  standalone: 'niia, gateway of its own',
  direct: 'niia, direct',
  p2p: 'niia, P2P',
  channel: 'bare WebRTC channel',
};

/**
 * @typedef {{ name: string, value: number, limit: number, unit: string, met: boolean }} Aim
 * @typedef {{ host: Host, echo?: import('./echo.mjs').EchoResult[], bulk?: Bulk, startUp?: import('./startup.mjs').StartResult[], memory?: import('./memory.mjs').MemoryResult, hops?: import('./hops.mjs').Hop[], state?: import('./state.mjs').StateResult, prompts?: import('./prompts.mjs').PromptsResult } & import('./report-links.mjs').LinkResults & { aims: Aim[] }} Results
 * @typedef {{ log: import('./bulk.mjs').LogFile, ways: import('./bulk.mjs').BulkResult[] }} Bulk
 * @typedef {{ cores: number, processor: string, node: string, platform: string, load: number }} Host
 */

/** @returns {Host} */
export function host() {
  const processors = cpus();
  return {
    ...{ cores: processors.length, processor: processors[0]?.model ?? 'unknown', node: process.version },
    ...{ platform: `${process.platform}-${process.arch}`, load: loadavg()[0] ?? 0 },
  };
}

/** @param {Host} host */
export function reportHost({ processor, cores, node, platform, load }) {
  say(`niia bench: ${processor}, ${cores} cores, ${platform}, node ${node}, load average ${load.toFixed(2)}`);
  if (load > cores / 4)
    say('Other work is running on this machine: run again when it is quiet before you trust a figure.');
}

/** @param {string} [text] */
export function say(text = '') {
  process.stdout.write(`${text}\n`);
}

/**
 * Prints a table: the first column is text, the others are numbers that stand to the right.
 * @param {string[]} head
 * @param {string[][]} rows
 */
export function table(head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => (row[column] ?? '').length)));
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    say(`  ${cells.join('   ').trimEnd()}`);
  }
}

export const micros = (/** @type {number} */ value) => `${value.toFixed(0)} µs`;
export const times = (/** @type {number} */ value) => `${value.toFixed(2)}×`;
const megabytes = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(2);

/**
 * What processes used, the most first.
 * @param {Record<string, number>} cpu
 * @param {(value: number) => string} show
 */
function shares(cpu, show) {
  const sorted = Object.entries(cpu).sort(([, one], [, other]) => other - one);
  return sorted.map(([label, value]) => `${label} ${show(value)}`).join(', ');
}

/** @param {import('./echo.mjs').EchoResult[]} echo */
export function reportEcho(echo) {
  const rounds = echo[0]?.p50.length;
  say(`\nKeystroke echo (a raw program's, in an 80×24 terminal; medians of ${rounds} rounds)`);
  table(
    ['', 'p50', 'p95', 'of tmux', 'of ssh', 'of bare WebRTC', 'p50 when just opened'],
    echo.map((result) => {
      const { p50, p95 } = echoMedians(result);
      const yardsticks = [names.tmux, names.ssh, names.channel];
      const ratios = yardsticks.map((yardstick) => times(echoRatio(echo, result.name, yardstick)));
      return [result.name, micros(p50), micros(p95), ...ratios, micros(result.fresh)];
    }),
  );
  say(`  ${names.channel}: the client and the program's PTY, joined by one data channel between their two processes`);
  say("  (simple-peer over wrtc, DTLS and SCTP as in niia's); no encryption of its own, no log, no screen, no daemon.");
  say('  Processor time a keystroke, by process:');
  for (const { name, cpu } of echo) {
    if (Object.keys(cpu).length > 1) say(`    ${name}: ${shares(cpu, micros)}`);
  }
}

/**
 * @param {import('./hops.mjs').Hop[]} hops
 * @param {import('./echo.mjs').EchoResult[] | undefined} echo
 */
export function reportHops(hops, echo) {
  const of = (/** @type {string} */ name) => hops.find((hop) => hop.name === name)?.p50 ?? Number.NaN;
  say(
    '\nWhere an echo spends its time (from inside the bench, without client program and its terminal; gateway in the daemon)',
  );
  table(
    ['', 'p50'],
    hops.map(({ name, p50 }) => [name, micros(p50)]),
  );
  const p50Of = (/** @type {string} */ name) => {
    const result = echo?.find((one) => one.name === name);
    return result ? echoMedians(result).p50 : Number.NaN;
  };
  const steps = [
    ['session: its PTY, its program, headless server', of('echo by the headless server')],
    ['+ local daemon', of('echo through the daemon') - of('echo by the headless server')],
    ['+ link: gateway, encryption, other daemon', of('echo over the link') - of('echo through the daemon')],
    ['+ client program and its terminal', p50Of(names.embedded) - of('echo over the link')],
  ];
  say('  Step by step through the gateway (differences of medians):');
  for (const [name, value] of steps)
    if (!Number.isNaN(value)) say(`    ${String(name).padEnd(50)} ${micros(Number(value)).padStart(8)}`);
}

/** @param {Bulk} bulk */
export function reportBulk(bulk) {
  const { log, ways } = bulk;
  const rounds = ways[0]?.seconds.length;
  const tmux = rates(bulk, names.tmux);
  const ssh = rates(bulk, names.ssh);
  const channel = rates(bulk, names.channel);
  say(`\nBulk output (a log of ${megabytes(log.shownBytes)} MB, until its end is shown; medians of ${rounds} rounds)`);
  table(
    ['', 'MB/s', 'of tmux', 'of ssh', 'of bare WebRTC', 'arrived'],
    ways.map((result) => {
      const own = bulkRates(result, log);
      const arrived = median(result.arrived);
      return [
        ...[result.name, median(own).toFixed(1)],
        ...[tmux, ssh, channel].map((yardstick) => times(medianRatio(own, yardstick))),
        arrived === 1 ? 'all' : `${(arrived * 100).toFixed(1)} %`,
      ];
    }),
  );
  say(
    '  tmux discards what its client has no time to show; niia attach jumps to the present screen when it falls behind;',
  );
  say('  read, ssh, bare WebRTC and the bare PTY deliver every byte, which is checked.');
  say(
    '  Processor time as a share of the time it took, by process (100 % is one core; the fullest is the bottleneck):',
  );
  for (const result of ways) {
    const took = result.seconds.reduce((sum, one) => sum + one, 0);
    if (Object.keys(result.cpu).length < 2) continue;
    say(`    ${result.name}: ${shares(result.cpu, (seconds) => `${((seconds / took) * 100).toFixed(0)} %`)}`);
  }
}

/**
 * @param {Bulk} bulk
 * @param {string} name
 */
function rates({ log, ways }, name) {
  const result = ways.find((one) => one.name === name);
  return result ? bulkRates(result, log) : [];
}

/** @param {import('./startup.mjs').StartResult[]} startUp */
export function reportStartUp(startUp) {
  const own = startUp.find(({ name }) => name === 'node -e 0');
  say(`\nStart of a command (medians of ${startUp[0]?.rounds.length} rounds)`);
  table(
    ['', 'ms', "above Node's own"],
    startUp.map(({ name, ms, rounds }) => {
      const above = median(rounds.map((value, round) => value - (own?.rounds[round] ?? Number.NaN)));
      return [name, ms.toFixed(1), name.startsWith('niia') ? `${above.toFixed(1)} ms` : ''];
    }),
  );
}

/** @param {import('./memory.mjs').MemoryResult} memory */
export function reportMemory(memory) {
  say(`\nMemory of the headless server, its ${memory.sessions} shells not counted (MB; one measurement)`);
  /** @type {Array<[string, import('./memory.mjs').Memory | undefined]>} */
  const states = [
    ['no session', memory.empty],
    [`${memory.sessions} idle shells`, memory.idle],
    [`${memory.sessions} shells with 1,000 full lines`, memory.full],
  ];
  table(
    ['', 'PSS', 'RSS', 'PSS a session', 'RSS a session'],
    states.flatMap(([name, state], index) => {
      if (!state) return [];
      const each =
        index === 0 ? ['', ''] : [perSession(memory, state, 'pss'), perSession(memory, state, 'rss')].map(megabytes);
      return [[name, megabytes(state.pss), megabytes(state.rss), ...each]];
    }),
  );
}

/**
 * What was aimed at, and what came of it.
 * @param {Results} results
 * @returns {Aim[]}
 */
export function aims({ echo, bulk, startUp, memory, hops, prompts }) {
  /** @type {Aim[]} */
  const all = [];
  const most = (/** @type {string} */ name, /** @type {number} */ value, /** @type {number} */ limit, unit = '×') =>
    all.push({ name, value, limit, unit, met: value <= limit });
  const least = (/** @type {string} */ name, /** @type {number} */ value, /** @type {number} */ limit) =>
    all.push({ name, value, limit, unit: '×', met: value >= limit });
  if (echo) {
    most('echo on this machine, at most 1.5× tmux', echoRatio(echo, names.here, names.tmux), 1.5);
    for (const name of [names.embedded, names.standalone]) {
      most(`echo, ${name.replace('niia, ', '')}, at most 1.5× ssh`, echoRatio(echo, name, names.ssh), 1.5);
    }
    most("echo, direct, at most ssh's", echoRatio(echo, names.direct, names.ssh), 1);
    most('echo, P2P, at most 1.5× bare WebRTC', echoRatio(echo, names.p2p, names.channel), 1.5);
  }
  if (hops) {
    const of = (/** @type {string} */ which) => hops.find(({ name }) => name === which)?.rounds ?? [];
    const ratio = medianRatio(of(hopNames.p2p), of(hopNames.channel));
    most('request by P2P, at most 1.5× a message on bare WebRTC', ratio, 1.5);
  }
  if (bulk) {
    const tmux = rates(bulk, names.tmux);
    for (const result of bulk.ways.filter(({ name }) => name.startsWith('niia'))) {
      const ratio = medianRatio(bulkRates(result, bulk.log), tmux);
      least(`bulk, ${result.name.replace('niia, ', '')}, at least tmux's`, ratio, 1);
    }
    const direct = rates(bulk, `${names.direct}, read`);
    least("bulk, direct, every byte, at least ssh's", medianRatio(direct, rates(bulk, names.ssh)), 1);
  }
  if (startUp) {
    const [own, status] = ['node -e 0', 'niia status'].map((which) => startUp.find(({ name }) => name === which));
    const above = (status?.rounds ?? []).map((value, round) => value - (own?.rounds[round] ?? Number.NaN));
    most("niia status, under 60 ms above Node's own start", median(above), 60, ' ms');
  }
  if (memory) {
    const each = perSession(memory, memory.idle, 'pss') / 1e6;
    most('memory, at most 2 MB an idle session', each, 2, ' MB');
  }
  if (prompts) {
    most('prompts lost under load', prompts.lost, 0, '');
    most('prompts doubled under load', prompts.doubled, 0, '');
  }
  return all;
}

/** @param {Aim[]} all */
export function reportAims(all) {
  say('\nAims');
  for (const { name, value, unit, met } of all) {
    say(`  ${met ? 'met    ' : 'NOT MET'}  ${name}: ${value.toFixed(2)}${unit}`);
  }
}
