import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ParamsOf, ResultOf } from '../../../shared/protocol/methods.ts';
import { typedCall } from '../../../shared/rpc/client.ts';
import type { CallOptions, Peer } from '../../../shared/rpc/peer.ts';
import { connect, numbered, soon, start } from './support.ts';

interface Asked {
  out: Buffer;
  err: Buffer;
  result: ResultOf<'machine.ask'>;
}

async function run(peer: Peer, params: ParamsOf<'machine.ask'>, input?: Buffer, options?: CallOptions): Promise<Asked> {
  const call = typedCall(peer, 'machine.ask', params, options);
  const chunks: [Uint8Array[], Uint8Array[]] = [[], []];
  call.source(1).onData((bytes) => void chunks[0].push(bytes));
  call.source(2).onData((bytes) => void chunks[1].push(bytes));
  if (input) {
    call.sink(0).write(input);
    call.sink(0).end();
  }
  const result = await call.result;
  return { out: Buffer.concat(chunks[0]), err: Buffer.concat(chunks[1]), result };
}

const alive = (pid: number) =>
  existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';

describe('a command', () => {
  test('gives its outputs apart and its exit code', async () => {
    const { peer } = await start();
    const { out, err, result } = await run(peer, { command: 'echo out; echo err >&2; exit 3' });
    expect([out.toString(), err.toString()]).toEqual(['out\n', 'err\n']);
    expect(result).toMatchObject({ machine: 'BOX', exitCode: 3, signal: null });
    expect(result.durationMs).toBeGreaterThanOrEqual(0);
  });

  test('reads its input, or none', async () => {
    const { peer } = await start();
    const input = Buffer.alloc(3 << 20, 'abc\0\xff');
    expect((await run(peer, { command: 'cat', stdin: true }, input)).out.equals(input)).toBe(true);
    expect((await run(peer, { command: 'cat; echo end' })).out.toString()).toBe('end\n');
    // One that does not want it ends all the same.
    expect((await run(peer, { command: 'exit 4', stdin: true }, input)).result).toMatchObject({ exitCode: 4 });
  });

  test('runs where and with what it was told, and knows its machine', async () => {
    const { peer, home } = await start();
    const { out } = await run(peer, {
      command: 'pwd; echo $X $NIIA_MACHINE_NAME $NIIA_HOME',
      cwd: '/tmp',
      env: { X: 'y' },
    });
    expect(out.toString()).toBe(`/tmp\ny BOX ${home.root}\n`);
    await expect(run(peer, { command: 'true', cwd: '/no/such/folder' })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('/no/such/folder'),
    });
  });

  test('waits for a caller that is slow, and all of its output arrives', async () => {
    const { peer, home } = await start();
    const progress = home.path('progress');
    const command = `i=0; while [ $i -lt 200 ]; do seq 1 20000; i=$((i+1)); echo $i > ${progress}; done`;
    const call = typedCall(peer, 'machine.ask', { command });
    const made = () => (existsSync(progress) ? Number(readFileSync(progress, 'utf8')) : 0);
    let before = -1;
    await expect
      .poll(
        () => {
          const stands = made() > 0 && made() === before;
          before = made();
          return stands;
        },
        { interval: 200, timeout: 10_000 },
      )
      .toBe(true);
    // Some 110 kB each: one window of credit and the pipe's buffers.
    expect(made()).toBeLessThan(20);
    const all: Uint8Array[] = [];
    for await (const bytes of call.source(1)) all.push(bytes);
    const once = numbered(20_000).replaceAll('\r', '');
    expect(Buffer.concat(all).toString() === once.repeat(200)).toBe(true);
    expect(await call.result).toMatchObject({ exitCode: 0 });
  });

  test('gets signals in its process group and says which one ended it', async () => {
    const { peer } = await start();
    const call = typedCall(peer, 'machine.ask', { command: 'sleep 1000 & echo ready; wait' });
    await new Promise<void>((resolve) => call.source(1).onData(() => resolve()));
    call.emit({ type: 'signal', signal: 'SIGTERM' });
    expect(await call.result).toMatchObject({ exitCode: null, signal: 'SIGTERM' });
  });

  test('ends with its caller, children included, even against its will', async () => {
    const { server } = await start();
    for (const trap of ['', `trap '' HUP; `]) {
      const peer = await connect(server);
      const call = typedCall(peer, 'machine.ask', { command: `${trap}sleep 1000 & echo $$ $!; wait; sleep 1000` });
      const line = await new Promise<string>((resolve) =>
        call.source(1).onData((bytes) => resolve(Buffer.from(bytes).toString())),
      );
      const pids = line.trim().split(' ').map(Number);
      await expect.poll(() => pids.map(alive), soon).toEqual([true, true]);
      peer.close();
      await expect.poll(() => pids.map(alive), soon).toEqual([false, false]);
    }
  });

  test('is not held up by a background process that keeps its output open', async () => {
    const { peer } = await start();
    const { out, result } = await run(peer, { command: 'sleep 1000 & echo $!' }, undefined, { deadlineMs: 8000 });
    expect(result).toMatchObject({ exitCode: 0 });
    process.kill(Number(out.toString()), 'SIGKILL');
  });

  test('does not inherit the terminals of sessions', async () => {
    const { peer, run: session } = await start();
    await session('exec cat');
    await session('exec cat');
    const { out } = await run(peer, { command: 'ls -l /proc/self/fd' });
    expect(out.toString()).not.toContain('ptmx');
  });

  test('is not run twice for one key', async () => {
    const { peer, home } = await start();
    const command = `echo x >> ${home.path('count')}`;
    await run(peer, { command }, undefined, { key: 'k' });
    await expect(run(peer, { command }, undefined, { key: 'k' })).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(readFileSync(home.path('count'), 'utf8')).toBe('x\n');
  });
});
