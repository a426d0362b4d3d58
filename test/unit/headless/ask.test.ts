import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ParamsOf, ResultOf } from '../../../shared/protocol/methods.ts';
import { ask, typedCall } from '../../../shared/rpc/client.ts';
import type { CallOptions, Peer } from '../../../shared/rpc/peer.ts';
import { cleanup, connect, numbered, soon, start, temporaryFolder } from './support.ts';

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
        { interval: 200, timeout: 30_000 },
      )
      .toBe(true);
    // Some 110 kB each: one window of credit and the pipe's buffers.
    expect(made()).toBeLessThan(20);
    const all: Uint8Array[] = [];
    for await (const bytes of call.source(1)) all.push(bytes);
    const once = numbered(20_000).replaceAll('\r', '');
    expect(Buffer.concat(all).toString() === once.repeat(200)).toBe(true);
    expect(await call.result).toMatchObject({ exitCode: 0 });
  }, 60_000);

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

/** An asker that takes both outputs, and can break off and come back. */
class Asker {
  readonly out: Buffer[] = [];
  bytes = 0;
  readonly call: ReturnType<typeof typedCall<'machine.ask'>>;
  readonly started: Promise<number>;

  constructor(peer: Peer, params: ParamsOf<'machine.ask'>, key: string, from = 0, started?: boolean) {
    this.bytes = from;
    this.call = typedCall(peer, 'machine.ask', { ...params, resume: { output: from, errors: 0, started } }, { key });
    this.started = new Promise((resolve) =>
      this.call.onEvent((event) => event.type === 'started' && resolve(event.inputOffset ?? -1)),
    );
    this.call.source(1).onData((bytes) => {
      this.out.push(Buffer.from(bytes));
      this.bytes += bytes.length;
      this.call.emit({ type: 'have', output: this.bytes, errors: 0 });
    });
  }

  async has(count: number): Promise<void> {
    await expect.poll(() => this.bytes, soon).toBeGreaterThanOrEqual(count);
  }
}

describe('a command whose asker comes back', () => {
  test('runs on meanwhile, once, and gives each byte once and its exit code [RPC-16, ASK-1, ASK-2]', async () => {
    const { server, home } = await start();
    const gate = home.path('gate');
    const command = `echo run >> ${home.path('runs')}; seq 1 50000; until [ -e ${gate} ]; do sleep 0.05; done; seq 50001 99999; exit 7`;
    const first = await connect(server);
    const before = new Asker(first, { command }, 'k');
    await before.has(100_000);
    first.close();
    await before.call.result.catch(() => undefined);
    writeFileSync(gate, '');
    const after = new Asker(await connect(server), { command }, 'k', before.bytes);
    expect(await after.call.result).toMatchObject({ exitCode: 7, signal: null });
    await after.call.source(1).done;
    const all = Buffer.concat([...before.out, ...after.out]).toString();
    expect(all === numbered(99_999).replaceAll('\r', '')).toBe(true);
    expect(readFileSync(home.path('runs'), 'utf8')).toBe('run\n');
  });

  test('that has ended before it came back is told all the same', async () => {
    const { server, home } = await start();
    const first = await connect(server);
    const gate = home.path('gate');
    const command = `echo $$; until [ -e ${gate} ]; do sleep 0.05; done; echo late; touch ${home.path('done')}; exit 5`;
    const before = new Asker(first, { command }, 'k');
    await before.has(2);
    first.close();
    await before.call.result.catch(() => undefined);
    writeFileSync(gate, '');
    await expect.poll(() => existsSync(home.path('done')), soon).toBe(true);
    const after = new Asker(await connect(server), { command }, 'k', before.bytes);
    expect(await after.call.result).toMatchObject({ exitCode: 5 });
    await after.call.source(1).done;
    expect(Buffer.concat(after.out).toString()).toBe('late\n');
    // The telling may have been lost: it is told again, to one who has the output.
    const again = new Asker(await connect(server), { command }, 'k', after.bytes);
    expect(await again.call.result).toMatchObject({ exitCode: 5 });
  });

  test('goes on with its input where that broke off [ASK-3]', async () => {
    const { server } = await start();
    const first = await connect(server);
    const input = Buffer.alloc(400_000, 'abcdefg\n');
    const before = new Asker(first, { command: 'cat', stdin: true }, 'k');
    before.call.sink(0).write(input.subarray(0, 150_000));
    await before.has(150_000);
    first.close();
    const after = new Asker(await connect(server), { command: 'cat', stdin: true }, 'k', before.bytes);
    expect(await after.started).toBe(150_000);
    after.call.sink(0).write(input.subarray(150_000));
    after.call.sink(0).end();
    expect(await after.call.result).toMatchObject({ exitCode: 0 });
    expect(Buffer.concat([...before.out, ...after.out]).equals(input)).toBe(true);
  });

  test('waits, with a bounded part of its output kept, while nobody reads', async () => {
    const { server, home } = await start();
    const first = await connect(server);
    const command = `i=0; while [ $i -lt 100 ]; do seq 1 20000; i=$((i+1)); echo $i > ${home.path('n')}; done`;
    const before = new Asker(first, { command }, 'k');
    await before.has(1);
    first.close();
    const made = () => (existsSync(home.path('n')) ? Number(readFileSync(home.path('n'), 'utf8')) : 0);
    let last = -1;
    const stands = () => {
      const stood = made() > 0 && made() === last;
      last = made();
      return stood;
    };
    await expect.poll(stands, { interval: 400, timeout: 15_000 }).toBe(true);
    expect(made()).toBeLessThan(75);
    const after = new Asker(await connect(server), { command }, 'k', before.bytes);
    expect(await after.call.result).toMatchObject({ exitCode: 0 });
    const once = numbered(20_000).replaceAll('\r', '');
    expect(Buffer.concat([...before.out, ...after.out]).toString() === once.repeat(100)).toBe(true);
  }, 60_000);

  test('ends at once when the asker says so, and after a while when it stays away [ASK-4]', async () => {
    const { server } = await start({ askTimes: { graceMs: 300 } });
    for (const how of ['end', 'stay away'] as const) {
      const peer = await connect(server);
      const asker = new Asker(peer, { command: 'echo $$; sleep 1000' }, how);
      await asker.has(2);
      const pid = Number(Buffer.concat(asker.out).toString());
      expect(alive(pid)).toBe(true);
      if (how === 'end') asker.call.emit({ type: 'end' });
      else peer.close();
      await expect.poll(() => alive(pid), soon).toBe(false);
      const back = new Asker(await connect(server), { command: 'echo $$; sleep 1000' }, how, asker.bytes);
      await expect(back.call.result).rejects.toMatchObject({ code: how === 'end' ? 'cancelled' : 'outcome_unknown' });
    }
  });

  test('is ended at its time limit, also while nobody is there', async () => {
    const { server } = await start();
    const first = await connect(server);
    const asker = new Asker(first, { command: 'echo $$; sleep 1000', timeoutMs: 700 }, 'k');
    await asker.has(2);
    first.close();
    const pid = Number(Buffer.concat(asker.out).toString());
    await expect.poll(() => alive(pid), soon).toBe(false);
    const back = new Asker(await connect(server), { command: 'x' }, 'k', asker.bytes);
    await expect(back.call.result).rejects.toMatchObject({ code: 'timeout' });
  });

  test('is not started again by a server that knows nothing of it but its key [ASK-1]', async () => {
    const { server, home } = await start();
    const command = `echo x >> ${home.path('count')}`;
    const asker = new Asker(await connect(server), { command }, 'k');
    expect(await asker.call.result).toMatchObject({ exitCode: 0 });
    const { peer } = await start({ home, generation: 'g2' });
    const again = new Asker(peer, { command }, 'k');
    await expect(again.call.result).rejects.toMatchObject({ code: 'outcome_unknown' });
    const other = new Asker(peer, { command }, 'another');
    expect(await other.call.result).toMatchObject({ exitCode: 0 });
    expect(readFileSync(home.path('count'), 'utf8')).toBe('x\nx\n');
  });

  test('is not started again for an asker that saw it start, even where no key of it could be kept [ASK-1]', async () => {
    const { server, home } = await start();
    // As on a disk that is full.
    rmSync(home.path('asks'), { recursive: true });
    const command = `echo x >> ${home.path('count')}; echo said`;
    const asker = new Asker(await connect(server), { command }, 'k');
    expect(await asker.call.result).toMatchObject({ exitCode: 0 });
    const { peer } = await start({ home, generation: 'g2' });
    rmSync(home.path('asks'), { recursive: true });
    for (const again of [new Asker(peer, { command }, 'k', 5), new Asker(peer, { command }, 'k', 0, true)]) {
      await expect(again.call.result).rejects.toMatchObject({ code: 'outcome_unknown' });
    }
    expect(readFileSync(home.path('count'), 'utf8')).toBe('x\n');
  });

  test('is started for an asker that came back while it was being started', async () => {
    const folder = temporaryFolder();
    const [asked, gate] = [join(folder, 'asked'), join(folder, 'gate')];
    const slow = join(folder, 'slow-profile');
    const waits = `if [ "$NIIA_READING_PATH" ]; then touch ${asked}; until [ -e ${gate} ]; do sleep 0.02; done; fi`;
    writeFileSync(slow, `#!/bin/sh\n${waits}\nexec /bin/sh "$@"\n`, { mode: 0o755 });
    const shell = process.env['SHELL'];
    process.env['SHELL'] = slow;
    cleanup(() => {
      process.env['SHELL'] = shell;
    });
    const { server, home } = await start();
    const command = `echo x >> ${home.path('count')}`;
    const first = await connect(server);
    const before = new Asker(first, { command }, 'k');
    await expect.poll(() => existsSync(asked), soon).toBe(true);
    first.close();
    await before.call.result.catch(() => undefined);
    const peer = await connect(server);
    const after = new Asker(peer, { command }, 'k');
    // The requests of a connection are taken in order.
    expect(await ask(peer, 'headless.holdsAsk', { key: 'k' })).toEqual({ holds: true });
    writeFileSync(gate, '');
    expect(await after.call.result).toMatchObject({ exitCode: 0 });
    expect(readFileSync(home.path('count'), 'utf8')).toBe('x\n');
  });

  test('is heard over its newest connection only', async () => {
    const { server } = await start();
    const asker = new Asker(await connect(server), { command: 'echo a; cat', stdin: true }, 'k');
    await asker.has(2);
    const other = new Asker(await connect(server), { command: 'echo a; cat', stdin: true }, 'k', 2);
    await expect(asker.call.result).rejects.toMatchObject({ code: 'cancelled' });
    other.call.sink(0).end();
    expect(await other.call.result).toMatchObject({ exitCode: 0 });
  });
});
