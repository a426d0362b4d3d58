import { typeAndAwait } from './echo.mjs';
import { median, quantile, rotated } from './statistics.mjs';

/**
 * @typedef {{ name: string, rounds: number[], p50: number }} Hop p50 by round and their median, microseconds
 * @typedef {import('./rpc-probe.ts').RpcProbe} RpcProbe
 */

/** Hops that are compared with each other. */
export const hops = {
  gateway: 'request over the link, by the gateway, to the other daemon',
  direct: 'the same by a direct path',
  p2p: 'the same by P2P',
  channel: '64 bytes there and back on a bare WebRTC channel of two processes',
};

/**
 * Round trips that go ever further, measured from inside the bench: without the client program and its terminal.
 * @param {typeof import('./rpc-probe.ts').RpcProbe} Probe
 * @param {import('./ways.mjs').Pairs} pairs
 * @param {import('./yardsticks.mjs').BareChannel} channel
 * @param {{ here: [string, string], there: string }} sessions of the echoing program, on the near and on the far machine
 * @param {{ rounds: number, keystrokes: number }} options
 * @returns {Promise<Hop[]>}
 */
export async function measureHops(Probe, pairs, channel, { here, there }, { rounds, keystrokes }) {
  const { near, far } = pairs.embedded;
  const [overDirect, overP2p] = [await Probe.open(pairs.direct.near.home), await Probe.open(pairs.p2p.near.home)];
  const daemon = await Probe.open(near.home);
  const headless = await Probe.openSocket(near.headless.socket);
  const direct = await headless.attach(here[0]);
  const local = await daemon.attach(here[1]);
  const remote = await daemon.attach(there, far.name);
  const echo = (/** @type {import('./rpc-probe.ts').AttachProbe} */ probe) => () => typeAndAwait(probe, keystrokes);
  const pings = (/** @type {() => Promise<number>} */ ping) => async () => {
    const times = [];
    for (let count = 0; count < keystrokes; count++) times.push(await ping());
    return times;
  };
  const stages = [
    { name: 'request to the daemon', run: pings(() => daemon.pingDaemon()) },
    { name: 'request to the headless server', run: pings(() => headless.pingHeadless()) },
    { name: 'request through the daemon to the headless server', run: pings(() => daemon.pingHeadless()) },
    { name: hops.gateway, run: pings(() => daemon.pingDaemon(far.name)) },
    { name: hops.direct, run: pings(() => overDirect.pingDaemon(pairs.direct.far.name)) },
    { name: hops.p2p, run: pings(() => overP2p.pingDaemon(pairs.p2p.far.name)) },
    { name: hops.channel, run: () => channel.pings(keystrokes) },
    { name: 'request over the link to the other headless server', run: pings(() => daemon.pingHeadless(far.name)) },
    { name: 'echo by the headless server', run: echo(direct) },
    { name: 'echo through the daemon', run: echo(local) },
    { name: 'echo over the link', run: echo(remote) },
  ].map((stage) => ({ ...stage, p50: /** @type {number[]} */ ([]) }));
  try {
    for (let round = -1; round < rounds; round++) {
      for (const { run, p50 } of rotated(stages, round + 1)) {
        const times = await run();
        // The first round warms up.
        if (round >= 0) p50.push(quantile(times, 0.5));
      }
    }
  } finally {
    await Promise.all([direct.detach(), local.detach(), remote.detach()]);
    for (const probe of [daemon, headless, overDirect, overP2p]) probe.close();
  }
  return stages.map(({ name, p50 }) => ({ name, rounds: p50, p50: median(p50) }));
}
