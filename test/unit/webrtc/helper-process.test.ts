import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bundleHelper, cleanup, connect, End, isAlive, openFiles, remove, webRtc } from './support.ts';

let bundle: { folder: string; entry: string };
beforeAll(async () => {
  bundle = await bundleHelper();
});
afterAll(() => remove(bundle.folder));

const pair = () => [webRtc({ entry: bundle.entry }), webRtc({ entry: bundle.entry })] as const;
const soon = { timeout: 15_000 };

test('no helper runs before a connection is wanted, and none 60 s (here: 100 ms) after the last', async () => {
  const a = webRtc({ entry: bundle.entry, idleMs: 100 });
  const b = webRtc({ entry: bundle.entry });
  expect(a.pid).toBeUndefined();
  const [atA, atB] = await connect(a, b);
  const pid = a.pid!;
  expect(isAlive(pid)).toBe(true);
  atB.transport.close();
  await atA.ended;
  await vi.waitFor(() => expect(isAlive(pid)).toBe(false), soon);
  expect(a.pid).toBeUndefined();
  await connect(a, b);
  expect(a.pid).not.toBe(pid);
});

test('a helper that is killed ends its connections, and the next attempt works', async () => {
  const [a, b] = pair();
  const [atA] = await connect(a, b);
  const opening = new End(a, true);
  const pid = a.pid!;
  process.kill(pid, 'SIGKILL');
  expect(await atA.ended).toMatchObject({ code: 'failed' });
  expect(await opening.failure()).toMatchObject({ code: 'failed' });
  const [again, other] = await connect(a, b);
  expect(a.pid).not.toBe(pid);
  again.transport.send(Buffer.from('again'));
  await other.until(() => other.messages.length > 0);
});

test('a helper that is killed is given up by the other side', { tags: 'full', timeout: 60_000 }, async () => {
  const [a, b] = pair();
  const [, atB] = await connect(a, b);
  process.kill(a.pid!, 'SIGKILL');
  // No word came from the killed side: ICE asks for it, and gives it up.
  expect(await atB.ended).toMatchObject({ code: 'offline' });
});

test('closing ends the helper, and the other side hears of it at once', async () => {
  const [a, b] = pair();
  const [atA, atB] = await connect(a, b);
  const pid = a.pid!;
  const closing = a.close();
  await Promise.all([atA.ended, atB.ended, closing]);
  expect(isAlive(pid)).toBe(false);
  const late = new End(a, true);
  expect(await late.failure()).toMatchObject({ code: 'cancelled' });
});

test('a helper that is stopped takes nothing more, holds up its sender, and is replaced', async () => {
  const a = webRtc({ entry: bundle.entry, pingMs: 1_000 });
  const b = webRtc({ entry: bundle.entry });
  const [atA, atB] = await connect(a, b);
  const pid = a.pid!;
  process.kill(pid, 'SIGSTOP');
  const chunk = new Uint8Array(16 << 10);
  let sent = 0;
  while (atA.transport.writable) {
    atA.transport.send(chunk);
    sent += chunk.length;
  }
  expect(sent).toBeLessThanOrEqual((256 << 10) + chunk.length);
  expect(await atA.ended).toMatchObject({ code: 'failed', message: expect.stringContaining('does not answer') });
  expect(isAlive(pid)).toBe(false);
  await connect(a, b);
  atB.transport.close();
}, 40_000);

test('a helper whose daemon is killed ends by itself', async () => {
  const parentEntry = join(bundle.folder, 'parent.mjs');
  const entryPoints = [fileURLToPath(new URL('./parent.ts', import.meta.url))];
  await build({ entryPoints, outfile: parentEntry, bundle: true, platform: 'node', target: 'node20', format: 'esm' });
  const parent = spawn(process.execPath, [parentEntry, bundle.entry], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanup(() => parent.kill('SIGKILL'));
  const [line] = await once(createInterface(parent.stdout), 'line');
  const pid = Number(line);
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await vi.waitFor(() => expect(isAlive(pid)).toBe(false), soon);
});

test('a terminal’s Ctrl-C and hang-up do not end the helper', async () => {
  const [a, b] = pair();
  const [atA, atB] = await connect(a, b);
  process.kill(a.pid!, 'SIGINT');
  process.kill(a.pid!, 'SIGHUP');
  atB.transport.send(Buffer.from('still there'));
  await atA.until(() => atA.messages.length > 0);
});

test('where the native part is missing, attempts say so, and the helper is not started over and over', async () => {
  const folder = join(bundle.folder, 'without');
  mkdirSync(join(folder, 'node_modules', 'wrtc'), { recursive: true });
  writeFileSync(join(folder, 'node_modules', 'wrtc', 'index.js'), 'throw new Error("no binary for this platform")');
  const { entry } = await bundleHelper(folder);
  const a = webRtc({ entry });
  const first = await new End(a, true).failure();
  expect(first).toMatchObject({ code: 'failed', message: expect.stringContaining('no binary for this platform') });
  expect(first.hint).toBeTruthy();
  const second = new End(a, true);
  expect(a.pid).toBeUndefined();
  expect(await second.failure()).toBe(first);
});

test('a helper that talks without end fills no log', async () => {
  const entry = join(bundle.folder, 'talks.mjs');
  writeFileSync(entry, "process.stderr.write(('x'.repeat(5_000) + '\\n').repeat(2_000) + 'y'.repeat(1 << 20))");
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  cleanup(() => stderr.mockRestore());
  await new End(webRtc({ entry }), true).failure();
  const logged = stderr.mock.calls.map(([text]) => String(text));
  expect(logged.length).toBeGreaterThan(20);
  expect(logged.length).toBeLessThan(25);
  for (const line of logged) expect(line.length).toBeLessThan(1_200);
});

test('a helper that says what is not understood is ended', async () => {
  const entry = join(bundle.folder, 'babbles.mjs');
  writeFileSync(
    entry,
    "import { writeSync } from 'node:fs'; writeSync(3, 'GET / HTTP/1.1'); setInterval(() => {}, 1000);",
  );
  const rtc = webRtc({ entry });
  const end = new End(rtc, true);
  const pid = rtc.pid!;
  expect(await end.failure()).toMatchObject({ code: 'failed', message: expect.stringContaining('over the limit') });
  expect(isAlive(pid)).toBe(false);
});

test('an attempt that nobody answers fails when its time is over', async () => {
  const a = webRtc({ entry: bundle.entry, timeoutMs: 500 });
  expect(await new End(a, true).failure()).toMatchObject({ code: 'timeout' });
});

test('an attempt that is given up says nothing more', async () => {
  const [a, b] = pair();
  const end = new End(a, true);
  end.attempt.close();
  end.attempt.close();
  let told = false;
  end.connected.then(
    () => {
      told = true;
    },
    () => {
      told = true;
    },
  );
  await connect(a, b);
  expect(told).toBe(false);
});

test('connections that come and go leave no open files in the helper', async () => {
  const [a, b] = pair();
  const round = async (): Promise<void> => {
    const [atA, atB] = await connect(a, b);
    atA.transport.close();
    await Promise.all([atA.ended, atB.ended]);
  };
  for (let warm = 0; warm < 3; warm++) await round();
  const before = [openFiles(a.pid!), openFiles(b.pid!)];
  for (let count = 0; count < 20; count++) await round();
  // Sockets are closed by the native library's own threads, a moment later.
  await vi.waitFor(() => {
    expect(openFiles(a.pid!)).toBeLessThanOrEqual(before[0]!);
    expect(openFiles(b.pid!)).toBeLessThanOrEqual(before[1]!);
  }, soon);
}, 60_000);
