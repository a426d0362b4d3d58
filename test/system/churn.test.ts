import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Home } from '../../daemon/home/home.ts';
import { connectLocal } from '../../daemon/process/local-socket.ts';
import { ask, typedCall } from '../../shared/rpc/client.ts';
import type { Peer } from '../../shared/rpc/peer.ts';
import { filesOf, holdings, processesOf, wakesPerSecond } from '../support/leaks.ts';
import type { TestMachine } from '../support/machine.ts';
import { isAlive, killAndWait, withTeam } from '../support/machine.ts';
import { inTier } from '../support/tier.ts';

/** A day of a busy machine; a small part of it in the short tier. */
const counts = inTier(
  { reconnects: 150, restarts: 2, sessions: 12 },
  { reconnects: 10_000, restarts: 1_000, sessions: 500 },
);

const soon = { timeout: 30_000, interval: 100 };
const connect = (machine: TestMachine): Promise<Peer> =>
  connectLocal(new Home(machine.home).socket('daemon'), { face: 'test', software: 'test' });

async function withPeer<T>(machine: TestMachine, body: (peer: Peer) => Promise<T>): Promise<T> {
  const peer = await connect(machine);
  try {
    return await body(peer);
  } finally {
    peer.close();
  }
}

/** A client that comes, asks here and on the other machine, looks at a session, and goes without a word. */
async function comeAndGo(machine: TestMachine, other: string, round: number): Promise<void> {
  const peer = await connect(machine);
  await ask(peer, 'machine.list', {});
  if (round % 5 === 0) await ask(peer, 'session.list', {}, { to: other });
  if (round % 3 === 0) {
    const call = typedCall(peer, 'session.attach', { session: 'kept', client: `c${round}`, cols: 80, rows: 24 });
    call.result.catch(() => undefined);
    await new Promise<void>((resolve) => call.onEvent(() => resolve()));
  }
  peer.close();
}

async function oneSession(peer: Peer, round: number): Promise<void> {
  const script = round % 2 === 0 ? 'seq 1 200' : 'cat';
  const { session } = await ask(peer, 'session.new', { argv: ['/bin/sh', '-c', script] });
  if (round % 2 === 1) await ask(peer, 'session.kill', { session });
  else await ask(peer, 'session.wait', { session, until: { type: 'exit' } });
}

/** Ends the daemon in turn by kill -9 and by SIGTERM, and starts it again. */
async function restart(machine: TestMachine, round: number): Promise<void> {
  const pid = machine.daemonPid;
  if (round % 2 === 0) {
    await killAndWait(pid);
  } else {
    process.kill(pid, 'SIGTERM');
    while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await machine.ok('up');
}

/** What is on its way out goes within moments: resolves once the counts stay the same for a while. */
async function settled(pids: () => number[]): Promise<void> {
  const count = () => pids().map((pid) => holdings(pid).descriptors);
  for (let same = 0, last = ''; same < 6; ) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    const now = count().join();
    same = now === last ? same + 1 : 0;
    last = now;
  }
}

const linked = (machine: TestMachine) => async () =>
  await withPeer(machine, async (peer) => (await ask(peer, 'machine.list', {})).machines.every(({ online }) => online));

it(
  'a day of reconnects, restarts and sessions leaves no descriptor, process, listener, timer or file behind',
  async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      const { pid: kept } = await a.json<{ pid: number }>('new', '--name', 'kept', '--', 'cat');
      await b.ok('new', '--name', 'kept', '--', 'cat');
      // One round of everything first: what is loaded or made once is no leak.
      const rounds = async ({ reconnects, restarts, sessions }: typeof counts) => {
        for (let i = 0; i < restarts; i++) await restart(a, i);
        await expect.poll(linked(a), soon).toBe(true);
        await expect.poll(linked(b), soon).toBe(true);
        for (let i = 0; i < reconnects; i++) await comeAndGo(a, 'B', i);
        await withPeer(a, async (peer) => {
          for (let i = 0; i < sessions; i++) await oneSession(peer, i);
        });
      };
      await rounds({ reconnects: 15, restarts: 2, sessions: 4 });

      const processes = () => ({
        'daemon A': a.daemonPid,
        'daemon B': b.daemonPid,
        'headless A': a.headlessPid,
        'headless B': b.headlessPid,
      });
      const look = async () => {
        const held = Object.entries(processes()).map(([name, pid]) => [name, pid, holdings(pid)] as const);
        const wakes = await Promise.all(held.map(([, pid]) => wakesPerSecond(pid)));
        return held.map(([name, , has], at) => ({ name, ...has, wakes: wakes[at] ?? 0 }));
      };
      const of = (machine: TestMachine) => ({
        processes: processesOf(machine.home).length,
        files: filesOf(machine.home),
      });
      await expect.poll(linked(b), soon).toBe(true);
      await settled(() => Object.values(processes()));
      const before = { held: await look(), a: of(a), b: of(b) };
      const began = performance.now();
      await rounds(counts);
      const took = (performance.now() - began) / 1_000;

      await settled(() => Object.values(processes()));
      const after = { held: await look(), a: of(a), b: of(b) };
      const rows = after.held.map((now, at) => {
        const then = before.held[at];
        const pair = (key: 'descriptors' | 'sockets' | 'rssKb' | 'wakes') =>
          `${then?.[key].toFixed(0)} → ${now[key].toFixed(0)}`;
        return `${now.name}: descriptors ${pair('descriptors')}, sockets ${pair('sockets')}, RSS kB ${pair('rssKb')}, wakes/s ${pair('wakes')}`;
      });
      console.log(
        `churn: ${counts.reconnects} reconnects, ${counts.restarts} restarts, ${counts.sessions} sessions in ${took.toFixed(1)} s\n${rows.join('\n')}`,
      );

      expect(after.held.map(({ descriptors }) => descriptors)).toEqual(
        before.held.map(({ descriptors }) => descriptors),
      );
      for (const [at, now] of after.held.entries()) {
        const then = before.held[at];
        expect([now.name, now.wakes < 2 * (then?.wakes ?? 0) + 20]).toEqual([now.name, true]);
        expect([now.name, now.rssKb < (then?.rssKb ?? 0) * 1.5 + 40_000]).toEqual([now.name, true]);
      }
      expect(after.a.processes).toBe(before.a.processes);
      expect(after.b.processes).toBe(before.b.processes);
      expect(after.a.files).toEqual(before.a.files);
      expect(after.b.files).toEqual(before.b.files);
      expect(isAlive(kept)).toBe(true);
      // The live one, and those that ended, up to the cap.
      const folders = readdirSync(join(a.home, 'sessions')).filter((name) => name.startsWith('local-'));
      expect(folders.length).toBeLessThanOrEqual(101);
    });
  },
  inTier(90_000, 3_600_000),
);
