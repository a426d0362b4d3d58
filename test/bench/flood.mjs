import { PipeClient, TerminalClient } from './client.mjs';
import { echoScript, typeAndAwait } from './echo.mjs';
import { admit, endPair, Machine, makePair } from './machines.mjs';
import { cpuMicros } from './processes.mjs';
import { quantile } from './statistics.mjs';

/** Before the first round, and after each change. */
const firstWarmUp = 1600;
const warmUp = 200;
/** Of a stream that is there already: its program no longer computes. It has begun once so much of it has arrived. */
const [streamBytes, begunBytes] = [48 << 20, 1 << 20];

/**
 * p50 of the echo in microseconds, by round: with nobody else, with the harm, and with another program that is as busy
 * as the one that harms but has nothing to do with the two machines. `busy`: what it used, in processors.
 * @typedef {{ name: string, quiet: number[], harmed: number[], busyElsewhere: number[], busy: number[] }} FloodResult
 */

/**
 * What a third member of the team can do to the echo between two machines, on the machine that it harms.
 * @param {import('./bundles.mjs').Bundles} bundles
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {{ rounds: number, keystrokes: number }} options
 * @returns {Promise<FloodResult[]>}
 */
export async function measureFlood({ RpcProbe, hostile }, scratch, { rounds, keystrokes }) {
  const pair = await makePair(scratch, RpcProbe, ['P', 'Q'], { kind: 'direct' });
  const { near: a, far: b } = pair;
  const c = new Machine(scratch, 'R');
  await admit(a, c, 'direct');
  const probe = await RpcProbe.answering(a.home);
  const { machine, team, gateway } = await probe.status();
  // The harmed machine is the one that serves: what it does for others is what may come late.
  const session = `${a.name}/${await a.session(echoScript)}`;
  const client = new TerminalClient('echo', b.command('attach', session), { env: b.env, cwd: scratch.root });
  scratch.defer(() => client.close());
  await client.until('ready');
  const run = (/** @type {string} */ name, /** @type {string[]} */ ...args) => {
    scratch.check();
    const command = [process.execPath, hostile, name, ...args];
    const child = new PipeClient(`hostile ${name}`, command, { env: c.env, cwd: scratch.root });
    scratch.defer(() => child.close());
    return child;
  };
  const echo = async () => {
    await typeAndAwait(client, warmUp);
    return quantile(await typeAndAwait(client, keystrokes), 0.5);
  };
  /** @type {Array<{ name: string, begin: () => Promise<{ pids: number[], end: () => Promise<unknown> }> }>} */
  const harms = [
    {
      name: 'requests, as many as it can',
      begin: async () => {
        const child = run('requests', c.home, a.name);
        return { pids: [child.pid, c.daemonPid], end: () => child.close() };
      },
    },
    {
      name: 'noise on paths of its link',
      begin: async () => {
        const child = run('garbage', c.home, team.id, machine.id, gateway.url ?? '');
        return { pids: [child.pid, c.daemonPid], end: () => child.close() };
      },
    },
    {
      name: 'a stream that it stops to read',
      begin: async () => {
        const id = await a.ok('new', '--', 'sh', '-c', `head -c ${streamBytes} /dev/zero; echo; echo all; read -r _`);
        await a.ok('wait', '--session', id, '--match', '^all$');
        const words = ['read', '--session', `${a.name}/${id}`, '--raw', '--since', '0', '--follow'];
        const reader = new PipeClient('stalled reader', c.command(...words), { env: c.env, cwd: scratch.root });
        scratch.defer(() => reader.close());
        await reader.received(begunBytes);
        const stopped = c.daemonPid;
        process.kill(stopped, 'SIGSTOP');
        if (reader.bytes >= streamBytes) throw new Error('the stream was over before its reader was stopped');
        return {
          pids: [],
          end: async () => {
            await a.ok('kill', '--session', id);
            process.kill(stopped, 'SIGCONT');
            await reader.close();
          },
        };
      },
    },
  ];
  const results = harms.map(({ name, begin }) => ({
    ...{ name, begin, quiet: /** @type {number[]} */ ([]), harmed: /** @type {number[]} */ ([]) },
    ...{ busyElsewhere: /** @type {number[]} */ ([]), busy: /** @type {number[]} */ ([]) },
  }));
  try {
    await typeAndAwait(client, firstWarmUp);
    for (let round = 0; round < rounds; round++) {
      for (const result of results) {
        // It may have been shut out for what it did the last time, and is to be there again.
        await probe.firstByteAt(c.name);
        result.quiet.push(await echo());
        const { pids, end } = await result.begin();
        await typeAndAwait(client, warmUp);
        const before = pids.map(cpuMicros);
        const started = performance.now();
        result.harmed.push(await echo());
        const took = (performance.now() - started) * 1000;
        const shares = pids.map((pid, index) => (cpuMicros(pid) - (before[index] ?? 0)) / took);
        await end();
        result.busy.push(shares.reduce((sum, share) => sum + share, 0));
        const busy = shares.length > 0 ? run('busy', ...shares.map((share) => share.toFixed(3))) : undefined;
        await busy?.until('ready');
        result.busyElsewhere.push(await echo());
        await busy?.close();
      }
    }
  } finally {
    probe.close();
  }
  await client.close();
  await c.end();
  await endPair(pair);
  return results.map(({ begin: _, ...result }) => result);
}
