import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bootMs } from '../../../daemon/home/boot-clock.ts';
import { ownCgroup } from '../../../daemon/process/cgroups.ts';
import { processTable } from '../../../daemon/process/process-table.ts';
import { SessionProcesses } from '../../../daemon/process/session-processes.ts';
import { ask } from '../../../shared/rpc/client.ts';
import type { Running } from './support.ts';
import { as, connect, soon, start, temporaryFolder } from './support.ts';

/** Appends a number to `$0` again and again. */
const counts = 'i=0; while :; do i=$((i+1)); echo $i >> "$0"; sleep 0.01; done';

function lines(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
}

/** Whether any of these files grows within a while that is long beside the pauses of what counts. */
async function grows(...files: string[]): Promise<boolean> {
  const before = files.map((file) => lines(file).length);
  await new Promise((resolve) => setTimeout(resolve, 150));
  return files.some((file, index) => lines(file).length > (before[index] ?? 0));
}

async function counting(...files: string[]): Promise<void> {
  for (const file of files) await expect.poll(() => lines(file).length, soon).toBeGreaterThan(2);
}

async function frozen({ ask }: Running, session: string): Promise<boolean | undefined> {
  const { sessions } = await ask('session.list', {});
  return sessions.find(({ id }) => id === session)?.frozen;
}

async function freeze(running: Running, session: string): Promise<void> {
  // The end of a lease is never brought forward.
  await running.ask('session.lease', { session, release: true, until: 0 });
  await running.ask('session.lease', { session, until: bootMs() + 30 });
  await expect.poll(() => frozen(running, session), soon).toBe(true);
}

const held = () => bootMs() + 600_000;

/** In a cgroup of its own where the system has one, and by signals: a session that is leased later has none. */
const ways = [
  { way: 'from its start', lease: held },
  { way: 'later', lease: () => undefined },
];

describe.each(ways)('a session that is held by a lease $way', ({ lease }) => {
  async function session(running: Running, argv: string[], more = {}): Promise<string> {
    const until = lease();
    const made = await running.ask('session.new', { argv, ...more, ...(until !== undefined && { lease: until }) });
    return made.session;
  }

  test('stops when that has run out, goes on where it is put off, and misses nothing [ATT-4]', async () => {
    const running = await start();
    const file = join(temporaryFolder(), 'numbers');
    const id = await session(running, ['/bin/sh', '-c', counts, file]);
    await counting(file);
    expect(await running.ask('session.lease', { session: id, until: held() })).toEqual({ frozen: false });
    expect(await frozen(running, id)).toBe(false);
    expect(await running.ask('session.lease', { session: id, release: true, until: 0 })).toEqual({ frozen: false });
    await freeze(running, id);
    expect(await grows(file)).toBe(false);
    expect(await running.ask('session.lease', { session: id, until: held() })).toEqual({ frozen: false });
    const stoppedAt = lines(file).length;
    await expect.poll(() => lines(file).length, soon).toBeGreaterThan(stoppedAt + 2);
    expect(lines(file).slice(0, stoppedAt + 2)).toEqual(
      lines(file)
        .slice(0, stoppedAt + 2)
        .map((_, i) => `${i + 1}`),
    );
  });

  test('stops with all that it started, whatever left its terminal and its parents', async () => {
    const running = await start();
    const folder = temporaryFolder();
    const [own, child, away] = ['own', 'child', 'away'].map((name) => join(folder, name)) as [string, string, string];
    const script = `sh -c '${counts}' '${child}' & setsid sh -c "sh -c '${counts.replaceAll('$', '\\$')}' '${away}' &"; sh -c '${counts}' '${own}'`;
    const id = await session(running, ['/bin/sh', '-c', script]);
    await counting(own, child, away);
    await freeze(running, id);
    expect(await grows(own, child, away)).toBe(false);
    // Nobody outside can let it go on.
    for (const { pid } of processesOf(running, id)) process.kill(pid, 'SIGCONT');
    await running.ask('session.kill', { session: id, signal: 'SIGCONT' });
    await new Promise((resolve) => setTimeout(resolve, 1600));
    expect(await grows(own, child, away)).toBe(false);
    await running.ask('session.lease', { session: id, until: held() });
    await Promise.all([own, child, away].map((file) => expect.poll(() => grows(file), soon).toBe(true)));
    await running.ask('session.kill', { session: id });
    expect(processesOf(running, id)).toEqual([]);
  });

  test('is ended while it is frozen without coming to itself [ATT-4]', async () => {
    const running = await start();
    const file = join(temporaryFolder(), 'last-words');
    const script = `trap 'echo hangup >> ${file}' HUP; echo begun >> ${file}; while :; do sleep 0.05; done`;
    const id = await session(running, ['/bin/sh', '-c', script]);
    await expect.poll(() => lines(file), soon).toEqual(['begun']);
    await freeze(running, id);
    const ended = await running.ask('session.kill', { session: id });
    expect(ended).toMatchObject({ state: 'exited', signal: 'SIGKILL' });
    expect(lines(file)).toEqual(['begun']);
    expect(processesOf(running, id)).toEqual([]);
  });

  test('keeps what is typed, and is neither idle nor over for having stood still', async () => {
    const running = await start();
    const file = join(temporaryFolder(), 'typed');
    const id = await session(running, ['/bin/sh', '-c', `echo ready; read -r line; echo "$line" > ${file}; sleep 60`]);
    await running.ask('session.wait', { session: id, until: { type: 'match', pattern: 'ready', since: 0 } });
    await freeze(running, id);
    await running.write(id, 'kept\r');
    const idle = running.ask('session.wait', { session: id, until: { type: 'idle', ms: 200 } }, { deadlineMs: 700 });
    await expect(idle).rejects.toMatchObject({ code: 'timeout' });
    expect(lines(file)).toEqual([]);
    await running.ask('session.lease', { session: id, until: held() });
    await expect.poll(() => lines(file), soon).toEqual(['kept']);
    await running.ask('session.wait', { session: id, until: { type: 'idle', ms: 200 } });
  });

  test('whose shell has a command in front goes on with both', async () => {
    const running = await start();
    const id = await session(running, ['/bin/bash', '--norc', '--noprofile', '-i'], { env: { PS1: 'ready> ' } });
    const file = join(temporaryFolder(), 'numbers');
    await running.write(id, `sh -c '${counts}' ${file}\r`);
    await counting(file);
    await freeze(running, id);
    await running.ask('session.lease', { session: id, until: held() });
    await expect.poll(() => grows(file), soon).toBe(true);
    const { lines: rows } = await running.ask('session.read', { session: id });
    expect(rows.join('\n')).not.toMatch(/Stopped/);
    expect(rows.filter((row) => row.startsWith('ready>'))).toHaveLength(1);
  });

  test('runs the command of an exec worker only while it may', async () => {
    const running = await start();
    const [asked, numbers] = [join(temporaryFolder(), 'asked'), join(temporaryFolder(), 'numbers')];
    const script = `cat >> ${asked}; i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i >> ${numbers}; sleep 0.02; done`;
    const id = await session(running, ['/bin/sh', '-c', script], { worker: 'exec' });
    await freeze(running, id);
    const params = { session: id, id: 'p1', until: 'finished' } as const;
    const finished = running.ask('session.prompt', params, { body: Buffer.from('one\n') });
    expect(await grows(asked)).toBe(false);
    await running.ask('session.lease', { session: id, until: held() });
    await counting(numbers);
    await freeze(running, id);
    expect(await grows(numbers)).toBe(false);
    const { sessions } = await running.ask('session.list', {});
    expect(sessions[0]).toMatchObject({ state: 'busy', frozen: true });
    await running.ask('session.lease', { session: id, until: held() });
    expect(await finished).toMatchObject({ state: 'finished' });
    expect([lines(asked), lines(numbers).length]).toEqual([['one'], 20]);
  });
});

describe('a lease', () => {
  test('is held by the headless server itself, whoever is gone [ATT-4]', async () => {
    const running = await start();
    const file = join(temporaryFolder(), 'numbers');
    const { session } = await running.ask('session.new', {
      argv: ['/bin/sh', '-c', counts, file],
      lease: bootMs() + 400,
    });
    await counting(file);
    running.peer.close();
    await expect.poll(() => grows(file), soon).toBe(false);
    const peer = await connect(running.server);
    const { sessions } = await ask(peer, 'session.list', {});
    expect(sessions.find(({ id }) => id === session)).toMatchObject({ frozen: true });
  });

  test('is never brought forward, and is for the machine’s own daemon only', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', { argv: ['/bin/sleep', '60'], lease: held() });
    expect(await running.ask('session.lease', { session, until: bootMs() - 1000 })).toEqual({ frozen: false });
    const denied = running.ask('session.lease', { session, until: held() }, as('admin'));
    await expect(denied).rejects.toMatchObject({ code: 'denied' });
  });

  test('that holds a session no more leaves no cgroup behind', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', { argv: ['/bin/sleep', '60'], lease: held() });
    const cgroups = () => (own ? readdirSync(own.folder).filter((name) => name.includes(running.home.hash)) : []);
    const own = ownCgroup();
    const made = cgroups().length;
    await running.ask('session.lease', { session, release: true, until: 0 });
    await running.ask('session.kill', { session });
    expect([made <= 1, cgroups()]).toEqual([true, []]);
  });

  test('ends with its session, and what that left running with it', async () => {
    const running = await start();
    const file = join(temporaryFolder(), 'numbers');
    const script = `setsid sh -c '${counts}' '${file}' & while [ ! -s ${file} ]; do sleep 0.01; done`;
    const { session } = await running.ask('session.new', { argv: ['/bin/sh', '-c', script], lease: held() });
    await running.ask('session.wait', { session, until: { type: 'exit' } });
    await expect.poll(() => processesOf(running, session), soon).toEqual([]);
    await expect(running.ask('session.lease', { session, until: held() })).rejects.toMatchObject({
      code: 'session_ended',
    });
  });
});

describe('the processes of a session', () => {
  const entry = (pid: number, parent: number, session: number) => {
    return { pid, parent, session, group: session, state: 'S', start: `${pid}` };
  };

  test('are found by their parents and their terminal, parents first, also once a parent is gone', () => {
    let table = [entry(12, 11, 10), entry(11, 10, 10), entry(10, 1, 10), entry(20, 12, 20), entry(30, 1, 30)];
    const processes = new SessionProcesses({ root: 10, mark: { NO_SUCH: 'thing' }, table: () => table });
    const pids = () => processes.find().map(({ pid }) => pid);
    expect(pids()).toEqual([10, 11, 12, 20]);
    table = [entry(21, 1, 20), entry(30, 1, 30)];
    expect(pids()).toEqual([21]);
  });

  test('are never this one, which may have been started by one of them', () => {
    const self = { ...entry(process.pid, 10, 10), start: 'self' };
    const processes = new SessionProcesses({
      root: 10,
      mark: { NO_SUCH: 'thing' },
      table: () => [self, entry(10, 1, 10)],
    });
    expect(processes.find().map(({ pid }) => pid)).toEqual([10]);
  });
});

function processesOf(running: Running, session: string): unknown[] & Array<{ pid: number }> {
  const table = processTable();
  const home = `NIIA_HOME=${running.home.root}`;
  return table.filter(({ pid }) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      return environment.includes(home) && environment.includes(`NIIA_SESSION=${session}`);
    } catch {
      return false; // It ended meanwhile, or is another user's.
    }
  });
}
