import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Home } from '../../daemon/home/home.ts';
import { connectLocal } from '../../daemon/process/local-socket.ts';
import type { MethodName, ParamsOf, ResultOf } from '../../shared/protocol/methods.ts';
import { ask, typedCall } from '../../shared/rpc/client.ts';
import type { CallOptions, Peer } from '../../shared/rpc/peer.ts';
import { inTier } from '../support/tier.ts';

/** How long a condition that others bring about may take on a busy machine. */
const soon = { timeout: 15_000 };
const root = new URL('../..', import.meta.url).pathname;
let out: string;
let folder: string;
const children: ChildProcess[] = [];
const peers: Peer[] = [];
const mounts: string[] = [];

beforeAll(async () => {
  mkdirSync(join(root, 'test/artifacts'), { recursive: true });
  // Beside node_modules, where the native module is found.
  out = mkdtempSync(join(root, 'test/artifacts/headless-'));
  await build({
    entryPoints: {
      entry: join(root, 'test/system/headless/entry.ts'),
      'screen-worker': join(root, 'daemon/headless/screen-worker.ts'),
    },
    outdir: out,
    bundle: true,
    splitting: true,
    chunkNames: 'chunk-[hash]',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['node-pty'],
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
});
afterAll(() => rmSync(out, { recursive: true, force: true }));
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.close();
  await Promise.all(children.splice(0).map((child) => end(child, 'SIGTERM')));
  for (const mount of mounts.splice(0)) execFileSync('umount', ['-l', mount]);
  rmSync(folder, { recursive: true, force: true });
});

function freshHome(): Home {
  folder = mkdtempSync(join(tmpdir(), 'niia-headless-'));
  return new Home(join(folder, 'home'));
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

interface Launched {
  child: ChildProcess;
  /** What it said on standard error. */
  said: () => string;
  exit: Promise<{ code: number | null; signal: string | null }>;
}

function launch(home: Home, generation = 'g1', ...more: string[]): Launched {
  const child = spawn(process.execPath, [join(out, 'entry.js'), home.root, generation, 'BOX', ...more], {
    stdio: ['ignore', 'inherit', 'pipe'],
    detached: true,
    // A shell without the user's start-up files, which may do anything.
    env: { ...process.env, SHELL: '/bin/sh' },
  });
  children.push(child);
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  return { child, said: () => said, exit };
}

async function serving(home: Home, launched: Launched, generation = 'g1'): Promise<Peer> {
  const line = `the headless server ${generation} serves`;
  while (!launched.said().includes(line)) {
    if (launched.child.exitCode !== null) throw new Error(launched.said());
    await new Promise((resolve) => launched.child.stderr?.once('data', resolve));
  }
  const peer = await connectLocal(home.socket(`headless-${generation}`), { face: 'test', software: 'test' });
  peers.push(peer);
  return peer;
}

async function start(home: Home = freshHome(), ...more: string[]) {
  const launched = launch(home, 'g1', ...more);
  const peer = await serving(home, launched);
  return {
    home,
    peer,
    ...launched,
    ask: <M extends MethodName>(method: M, params: ParamsOf<M>, options?: CallOptions): Promise<ResultOf<M>> =>
      ask(peer, method, params, options),
    run: (script: string) => ask(peer, 'session.new', { argv: ['/bin/sh', '-c', script] }),
  };
}

async function tailed(peer: Peer, params: ParamsOf<'session.tail'>): Promise<Buffer> {
  const call = typedCall(peer, 'session.tail', params);
  const chunks: Uint8Array[] = [];
  call.source(1).onData((bytes) => void chunks.push(bytes));
  await call.result;
  return Buffer.concat(chunks);
}

function numbered(count: number): string {
  let text = '';
  for (let number = 1; number <= count; number++) text += `${number}\r\n`;
  return text;
}

const alive = (pid: number) =>
  existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';

function residentBytes(pid: number | undefined): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

describe('the headless server', () => {
  test('says where it is while it serves, and is found by a second one', async () => {
    const { home, child, ask } = await start();
    const file = home.path('headless', 'g1.json');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      pid: child.pid,
      generation: 'g1',
      socket: home.socket('headless-g1'),
    });
    expect(statSync(home.socket('headless-g1')).mode & 0o777).toBe(0o600);
    const second = launch(home);
    expect(await second.exit).toEqual({ code: 0, signal: null });
    expect(second.said()).toContain('the headless server g1 is running already');
    expect(await ask('headless.info', {})).toMatchObject({ pid: child.pid });
    const other = launch(home, 'g2');
    const peer = await serving(home, other, 'g2');
    expect(await peer.call('headless.info', {}).response).toMatchObject({ value: { pid: other.child.pid } });
  });

  test('is one, of many that are started at once', async () => {
    const home = freshHome();
    const launched = Array.from({ length: 5 }, () => launch(home));
    const winner = await Promise.any(launched.map((one) => serving(home, one).then(() => one)));
    const others = launched.filter((one) => one !== winner);
    expect(await Promise.all(others.map((one) => one.exit))).toEqual(others.map(() => ({ code: 0, signal: null })));
    expect(winner.child.exitCode).toBeNull();
  });

  test('ignores SIGINT and SIGHUP, and on SIGTERM ends its sessions and exits 0', async () => {
    const { home, child, ask, run, exit } = await start();
    const polite = await run('exec sleep 1000');
    const stubborn = await run(`trap '' HUP; echo ready; while :; do sleep 0.1; done`);
    await ask('session.wait', { session: stubborn.session, until: { type: 'match', pattern: 'ready' } });
    child.kill('SIGINT');
    child.kill('SIGHUP');
    expect(await ask('headless.info', {})).toMatchObject({ sessions: 2 });
    child.kill('SIGTERM');
    expect(await exit).toEqual({ code: 0, signal: null });
    expect([polite.pid, stubborn.pid].map(alive)).toEqual([false, false]);
    expect(existsSync(home.path('headless', 'g1.json'))).toBe(false);
    expect(existsSync(home.path('headless', 'g1.lock'))).toBe(false);
    expect(existsSync(home.socket('headless-g1'))).toBe(false);
    const next = await start(home);
    expect((await next.ask('session.list', {})).sessions).toMatchObject([
      { id: polite.session, state: 'exited', signal: 'SIGHUP' },
      { id: stubborn.session, state: 'exited', signal: 'SIGKILL' },
    ]);
  });

  test('that is killed leaves its sessions to the next one, as ended', async () => {
    const { home, child, ask, run, exit } = await start();
    const { session, pid } = await run('seq 1 30; exec sleep 1000');
    await ask('session.wait', { session, until: { type: 'match', pattern: '^30' } });
    // The log is written in the background.
    await expect
      .poll(
        () => statSync(home.path('sessions', session, 'output-000000000000000.log'), { throwIfNoEntry: false })?.size,
        soon,
      )
      .toBe(numbered(30).length);
    child.kill('SIGKILL');
    await exit;
    await expect.poll(() => alive(pid), soon).toBe(false);
    const next = await start(home);
    expect((await next.ask('session.list', {})).sessions).toMatchObject([
      { id: session, state: 'exited', exitCode: null },
    ]);
    expect((await next.ask('session.read', { session })).lines.at(-2)).toBe('30');
    expect((await tailed(next.peer, { session })).toString()).toBe(numbered(30));
  });

  test('leaves by itself when nobody needs it', async () => {
    const { peer, exit } = await start(freshHome(), '100');
    peer.close();
    expect(await exit).toEqual({ code: 0, signal: null });
  });

  const [short, long] = [inTier(60, 300), inTier(12, 60)];
  test(`has every last byte of ${short} short commands and of ${long} that write much`, async () => {
    const { ask, run, peer } = await start();
    const whole = numbered(50_000);
    const check = async (count: number, script: (i: number) => string, wanted: (i: number) => string) => {
      const together = 6;
      for (let i = 0; i < count; i += together) {
        const batch = await Promise.all(Array.from({ length: together }, (_, j) => run(script(i + j))));
        for (const [j, { session }] of batch.entries()) {
          await ask('session.wait', { session, until: { type: 'exit' } });
          expect((await tailed(peer, { session })).toString() === wanted(i + j)).toBe(true);
        }
      }
    };
    await check(
      short,
      (i) => `printf 'number %s' ${i}`,
      (i) => `number ${i}`,
    );
    await check(
      long,
      () => 'seq 1 50000',
      () => whole,
    );
  });

  test('passes 100 MB through a command and through a session without growing', async () => {
    const { ask, peer, child, run } = await start();
    await ask('session.list', {});
    const before = residentBytes(child.pid);
    let most = 0;
    const receive = async (source: AsyncIterable<Uint8Array>): Promise<number> => {
      let count = 0;
      let chunks = 0;
      for await (const bytes of source) {
        count += bytes.length;
        if (chunks++ % 64 === 0) most = Math.max(most, residentBytes(child.pid) - before);
      }
      return count;
    };
    const asked = typedCall(peer, 'machine.ask', { command: 'head -c 104857600 /dev/zero' });
    expect(await receive(asked.source(1))).toBe(104_857_600);
    expect(await asked.result).toMatchObject({ exitCode: 0 });
    const { session } = await run('stty raw; seq 1 5000000');
    const tail = typedCall(peer, 'session.tail', { session, follow: true });
    expect(await receive(tail.source(1))).toBe(38_888_896);
    most = Math.max(most, residentBytes(child.pid) - before);
    expect(most).toBeLessThan(120 << 20);
  });

  test('draws screens in its worker while another session floods', async () => {
    const { ask, run } = await start();
    await run('yes flood');
    const { session } = await run('stty -echo; echo ready; exec cat');
    await ask('session.wait', { session, until: { type: 'match', pattern: 'ready' } });
    for (let i = 0; i < 20; i++) {
      const { outputOffset } = await ask('session.write', { session }, { body: Buffer.from(`line ${i}\n`) });
      await ask('session.wait', { session, until: { type: 'match', pattern: `line ${i}$`, since: outputOffset } });
      expect((await ask('session.read', { session })).lines).toContain(`line ${i}`);
    }
  });
});

describe.runIf(process.getuid?.() === 0 && process.platform === 'linux')('a disk that is full', () => {
  test('costs old output, and no session; when there is room again the log is whole again', async () => {
    const home = freshHome();
    mkdirSync(join(home.root, 'sessions'), { recursive: true, mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', join(home.root, 'sessions')]);
    mounts.push(join(home.root, 'sessions'));
    const { ask, run, peer } = await start(home);
    const { session } = await run('stty raw -echo; read go; seq 1 400000; read go; echo last; exec cat');
    const type = (text: string) => ask('session.write', { session }, { body: Buffer.from(text) });
    const info = async () => (await ask('session.list', {})).sessions[0]!;
    await ask('session.wait', { session, until: { type: 'idle', ms: 100 } });
    await type('\n');
    await ask('session.wait', { session, until: { type: 'match', pattern: '^400000$' } });
    await expect.poll(async () => (await info()).logError, soon).toContain('ENOSPC');
    // It all still fits into memory: nothing is lost.
    const wanted = numbered(400_000).replaceAll('\r', '');
    expect((await tailed(peer, { session })).toString().endsWith(wanted)).toBe(true);
    execFileSync('mount', ['-o', 'remount,size=64m', join(home.root, 'sessions')]);
    await expect.poll(async () => (await info()).logError, soon).toBeNull();
    await type('\n');
    await ask('session.wait', { session, until: { type: 'match', pattern: 'last' } });
    expect((await tailed(peer, { session })).toString().endsWith(`${wanted}last\n`)).toBe(true);
    // A session needs a little room on disk to be started, and says so where there is none.
    execFileSync('sh', ['-c', `head -c 70000000 /dev/zero > ${join(home.root, 'sessions', 'fill')} || true`]);
    await expect(ask('session.new', { argv: ['true'] })).rejects.toMatchObject({
      code: 'io',
      message: expect.stringContaining('ENOSPC'),
    });
    await type('still here\n');
    await ask('session.wait', { session, until: { type: 'match', pattern: 'still here' } });
  });
});
