import { pin } from './machines.mjs';

/** Lines each of which comes back: as long as the link has to go on before the next thing happens to it. */
const lines = 400;

/**
 * `gaps`: by round, the longest time without a byte, milliseconds. `left`, `taken`: the path that was lost and the one
 * after it, each with its round trip (NaN where none was known), of the last round.
 * @typedef {{ name: string, gaps: number[], left: PathAndRtt | undefined, taken: PathAndRtt | undefined }} Switch
 * @typedef {{ path: string, rttMs: number }} PathAndRtt
 * @typedef {{ switches: Switch[], lines: number, moves: number, resent: number }} FailoverResult `lines`: all came back once and in order, or the measurement fails
 */

/**
 * How long a stream of numbered lines, there and back, stands still when the path under it ends or falls silent.
 * @param {import('./bundles.mjs').Bundles} bundles
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {import('./machines.mjs').Pair} pair with every kind of path, and a gateway of its own
 * @param {{ rounds: number }} options
 * @returns {Promise<FailoverResult>}
 */
export async function measureFailover({ RpcProbe, EchoStream }, scratch, { near, far, gateway }, { rounds }) {
  if (!gateway) throw new RangeError('a gateway of its own is what is killed');
  const helper = () => {
    const pid = far.webRtcPid;
    if (pid === undefined) throw new Error(`${far.name} has no process for WebRTC`);
    return pid;
  };
  let stopped = 0;
  /** @type {Array<{ name: string, kind: import('./machines.mjs').PathKind, harm: () => unknown, mend: () => unknown }>} */
  const events = [
    { name: 'nothing happens', kind: 'gateway', harm: () => undefined, mend: () => undefined },
    { name: 'gateway killed', kind: 'gateway', harm: () => gateway.kill(), mend: () => gateway.start() },
    {
      ...{ name: 'gateway stopped', kind: 'gateway' },
      ...{ harm: () => gateway.signal('SIGSTOP'), mend: () => gateway.signal('SIGCONT') },
    },
    { name: 'nothing happens', kind: 'p2p', harm: () => undefined, mend: () => undefined },
    {
      name: "far end's WebRTC killed",
      kind: 'p2p',
      harm: () => process.kill(helper(), 'SIGKILL'),
      mend: () => undefined,
    },
    {
      ...{ name: "far end's WebRTC stopped", kind: 'p2p' },
      harm: () => {
        stopped = helper();
        process.kill(stopped, 'SIGSTOP');
      },
      mend: () => process.kill(stopped, 'SIGCONT'),
    },
  ];
  const results = events.map((event) => ({
    ...{ event, gaps: /** @type {number[]} */ ([]), left: /** @type {PathAndRtt | undefined} */ (undefined) },
    taken: /** @type {PathAndRtt | undefined} */ (undefined),
  }));
  await pin(RpcProbe, near, far, 'p2p');
  const probe = await RpcProbe.open(near.home);
  const stream = new EchoStream(near, far);
  scratch.defer(() => stream.stop());
  try {
    await stream.start();
    for (let round = 0; round < rounds; round++) {
      for (const result of results) {
        const { kind, harm, mend } = result.event;
        await pin(RpcProbe, near, far, kind);
        await stream.received(lines);
        result.left = await inUse(probe, far.name);
        const gap = await stream.longestGap(async () => {
          await harm();
          await stream.received(lines);
        });
        result.gaps.push(gap);
        result.taken = await inUse(probe, far.name);
        await mend();
      }
    }
    const { counts } = await probe.path(far.name);
    const arrived = await stream.finish();
    return {
      switches: results.map(({ event, gaps, left, taken }) => ({ name: event.name, gaps, left, taken })),
      ...{ lines: arrived, moves: counts?.switches ?? 0, resent: counts?.resent ?? 0 },
    };
  } finally {
    probe.close();
  }
}

/**
 * @param {import('./rpc-probe.ts').RpcProbe} probe
 * @param {string} machine
 * @returns {Promise<PathAndRtt>}
 */
async function inUse(probe, machine) {
  const { path, rttMs } = await probe.path(machine);
  return { path: path ?? 'none', rttMs: rttMs ?? Number.NaN };
}
