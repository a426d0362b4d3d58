import { PipeClient, TerminalClient } from './client.mjs';
import { echoScript, typeAndAwait } from './echo.mjs';
import { endPair, Gateway, makePair } from './machines.mjs';
import { Ssh } from './ssh.mjs';
import { quantile, rotated } from './statistics.mjs';

/** The link: a home's way out, with the queue of its router. */
export const line = { delayMs: 20, bitsPerSecond: 10e6, queueBytes: 256 << 10 };
const [nearAddress, farAddress] = ['10.0.0.1', '10.0.0.2'];
/** A flood has begun once so much of it has arrived: every queue on its way has filled. */
const begunBytes = 1_000_000;
const warmUp = 10;

/**
 * `flood`: starts one, and resolves with what shows it and what ends it.
 * @typedef {{ name: string, command: string[], env: NodeJS.ProcessEnv, pair?: import('./machines.mjs').Pair, flood: () => Promise<{ command: string[], end: () => Promise<unknown> }> }} SharedWay
 * @typedef {{ p50: number[], p95: number[] }} Echoes milliseconds, by round
 * @typedef {{ name: string, quiet: Echoes, loaded: Echoes, rate: number[] }} InteractiveResult `rate`: bytes a second that the flood's reader got meanwhile
 */

/**
 * Keystrokes in one session, while another session of the same link is silent and while it floods, over a slow line.
 * @param {import('./bundles.mjs').Bundles} bundles
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {Record<string, string>} programs
 * @param {{ rounds: number, keystrokes: number }} options
 * @returns {Promise<InteractiveResult[]>}
 */
export async function measureInteractive({ RpcProbe, Lab }, scratch, programs, { rounds, keystrokes }) {
  const lab = await Lab.open();
  scratch.defer(() => lab.close());
  const [near, far] = await lab.shaped('near', 'far', line);
  const ways = await sharedWays(RpcProbe, scratch, programs, [near.prefix, far.prefix]);
  const runs = [];
  for (const way of ways) {
    scratch.check();
    const client = new TerminalClient(way.name, way.command, { env: way.env, cwd: scratch.root });
    scratch.defer(() => client.close());
    await client.until('ready');
    const echoes = () => ({ p50: /** @type {number[]} */ ([]), p95: /** @type {number[]} */ ([]) });
    runs.push({ way, client, quiet: echoes(), loaded: echoes(), rate: /** @type {number[]} */ ([]) });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { way, client, quiet, loaded, rate } of rotated(runs, round)) {
      await typeAndAwait(client, warmUp);
      keep(quiet, await typeAndAwait(client, keystrokes));
      const { command, end } = await way.flood();
      scratch.check();
      const reader = new PipeClient(`${way.name}, flood`, command, { env: way.env, cwd: scratch.root });
      scratch.defer(() => reader.close());
      await reader.received(begunBytes);
      const before = reader.bytes;
      const started = performance.now();
      keep(loaded, await typeAndAwait(client, keystrokes));
      rate.push(((reader.bytes - before) * 1000) / (performance.now() - started));
      await reader.close();
      await end();
    }
  }
  for (const { client } of runs) await client.close();
  for (const { pair } of ways) if (pair) await endPair(pair);
  await lab.close();
  return runs.map(({ way, quiet, loaded, rate }) => ({ name: way.name, quiet, loaded, rate }));
}

/**
 * @param {Echoes} echoes
 * @param {Float64Array} times microseconds
 */
function keep({ p50, p95 }, times) {
  p50.push(quantile(times, 0.5) / 1000);
  p95.push(quantile(times, 0.95) / 1000);
}

/**
 * @param {import('./bundles.mjs').Bundles['RpcProbe']} RpcProbe
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {Record<string, string>} programs
 * @param {[readonly string[], readonly string[]]} prefixes
 * @returns {Promise<SharedWay[]>}
 */
async function sharedWays(RpcProbe, scratch, programs, prefixes) {
  const [clientPrefix, serverPrefix] = prefixes;
  const ssh = await Ssh.start(scratch, programs, {
    ...{ folder: 'ssh-line', address: farAddress, clientPrefix, serverPrefix },
  });
  const gateway = new Gateway(scratch, 'gateway-line', { host: farAddress, prefix: serverPrefix });
  await gateway.start();
  const pairs = [
    {
      name: 'niia, gateway',
      pair: await makePair(scratch, RpcProbe, ['I', 'J'], { kind: 'gateway', gateway, prefixes }),
    },
    {
      name: 'niia, direct',
      pair: await makePair(scratch, RpcProbe, ['K', 'L'], { kind: 'direct', listen: `${nearAddress}:0`, prefixes }),
    },
    { name: 'niia, P2P', pair: await makePair(scratch, RpcProbe, ['N', 'O'], { kind: 'p2p', gateway, prefixes }) },
  ];
  const env = scratch.env();
  /** @type {SharedWay[]} */
  const ways = [
    {
      ...{ name: 'ssh, two channels', command: ssh.command(echoScript, { shared: true }), env },
      flood: async () => ({ command: ssh.command('exec yes', { shared: true }), end: async () => undefined }),
    },
  ];
  for (const { name, pair } of pairs) {
    const session = `${pair.far.name}/${await pair.far.session(echoScript)}`;
    ways.push({
      ...{ name, command: pair.near.command('attach', session), env: pair.near.env, pair },
      flood: async () => {
        const id = await pair.far.ok('new', '--', 'yes');
        const words = ['read', '--session', `${pair.far.name}/${id}`, '--raw', '--since', '0', '--follow'];
        return { command: pair.near.command(...words), end: () => pair.far.ok('kill', '--session', id) };
      },
    });
  }
  return ways;
}
