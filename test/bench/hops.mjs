import { typeAndAwait } from './echo.mjs';
import { median, quantile, rotated } from './statistics.mjs';

/**
 * @typedef {{ name: string, p50: number }} Hop median over the rounds of the p50, microseconds
 * @typedef {import('./rpc-probe.ts').RpcProbe} RpcProbe
 */

/**
 * Round trips that go ever further, measured from inside the bench: without the client program and its terminal.
 * @param {typeof import('./rpc-probe.ts').RpcProbe} Probe
 * @param {{ near: import('./machines.mjs').Machine, far: import('./machines.mjs').Machine }} pair
 * @param {{ here: [string, string], there: string }} sessions of the echoing program, on the near and on the far machine
 * @param {{ rounds: number, keystrokes: number }} options
 * @returns {Promise<Hop[]>}
 */
export async function measureHops(Probe, { near, far }, { here, there }, { rounds, keystrokes }) {
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
    { name: 'request over the link to the other daemon', run: pings(() => daemon.pingDaemon(far.name)) },
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
    daemon.close();
    headless.close();
  }
  return stages.map(({ name, p50 }) => ({ name, p50: median(p50) }));
}
