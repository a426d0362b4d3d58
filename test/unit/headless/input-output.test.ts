import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ask as askPeer, typedCall } from '../../../shared/rpc/client.ts';
import { connect, numbered, soon, start, tailed } from './support.ts';

describe('a write', () => {
  test('goes through as it came: NUL, control characters, broken UTF-8, all of 256 values', async () => {
    const { write, peer, runRaw } = await start();
    const { session } = await runRaw('exec cat');
    const bytes = Buffer.concat([
      Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
      Buffer.from('c3ff00fe80', 'hex'),
    ]);
    const { outputOffset, bytes: count } = await write(session, bytes);
    expect(count).toBe(bytes.length);
    await expect
      .poll(async () => (await tailed(peer, { session, since: outputOffset })).bytes.length, soon)
      .toBe(bytes.length);
    expect((await tailed(peer, { session, since: outputOffset })).bytes.equals(bytes)).toBe(true);
  });

  test('is typed once, however often it is repeated, and its receipt is on disk [RPC-16]', async () => {
    const { ask, write, peer, server, home, runRaw } = await start();
    const { session } = await runRaw('exec cat');
    const [first, second] = await Promise.all([write(session, 'once;', 'k1'), write(session, 'once;', 'k1')]);
    expect(second).toEqual(first);
    const other = await connect(server);
    expect(await askPeer(other, 'session.write', { session }, { body: Buffer.from('once;'), key: 'k1' })).toEqual(
      first,
    );
    const third = await write(session, 'twice;', 'k2');
    expect(third.receipt).not.toBe(first.receipt);
    await ask('session.wait', { session, until: { type: 'match', pattern: 'twice', since: 0 } });
    expect((await tailed(peer, { session, since: first.outputOffset })).bytes.toString()).toBe('once;twice;');
    const lines = readFileSync(home.path('sessions', session, 'receipts.ndjson'), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line).receipt)).toEqual([first.receipt, third.receipt]);
  });

  test('to a session that has ended is refused', async () => {
    const { ask, run, write } = await start();
    const { session } = await run('exit 3');
    await ask('session.wait', { session, until: { type: 'exit' } });
    await expect(write(session, 'x')).rejects.toMatchObject({ code: 'session_ended' });
  });

  test('to a program that does not read loses nothing, and is refused when too much waits', async () => {
    const { ask, write, peer, runRaw } = await start();
    const { session } = await runRaw('sleep 1; exec cat');
    const block = Buffer.from(numbered(60_000).slice(0, 300 << 10));
    const writes = [];
    for (let i = 0; i < 3; i++) writes.push(await write(session, block));
    await expect(write(session, block)).rejects.toMatchObject({ code: 'busy' });
    const since = writes[0]!.outputOffset;
    await expect
      .poll(async () => (await ask('session.list', {})).sessions[0]!.outputBytes, soon)
      .toBe(since + 3 * block.length);
    expect((await tailed(peer, { session, since })).bytes.equals(Buffer.concat([block, block, block]))).toBe(true);
  });
});

describe('a read', () => {
  test('shows what a write caused, every time', async () => {
    const { ask, run, write } = await start();
    const { session } = await run('stty -echo; echo ready; exec cat');
    await ask('session.wait', { session, until: { type: 'match', pattern: 'ready' } });
    for (let i = 0; i < 20; i++) {
      const { outputOffset } = await write(session, `line ${i}\n`);
      await ask('session.wait', { session, until: { type: 'match', pattern: `line ${i}$`, since: outputOffset } });
      expect((await ask('session.read', { session })).lines).toContain(`line ${i}`);
    }
  });

  test('has the cursor, the lines above, and the offset it is drawn from', async () => {
    const { ask, run } = await start();
    const { session } = await run(`seq 1 100; printf 'prompt> '; exec cat`);
    await ask('session.wait', { session, until: { type: 'match', pattern: 'prompt> ' } });
    const screen = await ask('session.read', { session, scrollback: 10 });
    expect(screen.lines).toHaveLength(34);
    expect(screen.lines[0]).toBe('68');
    expect(screen.lines.at(-1)).toBe('prompt> ');
    expect(screen.cursor).toEqual({ x: 8, y: 23 });
    expect(screen.offset).toBe((await ask('session.list', {})).sessions[0]?.outputBytes);
    expect((await ask('session.read', { session, scrollback: 5000 })).lines).toHaveLength(101);
  });

  test('stays possible after the end, and so does the raw output', async () => {
    const { ask, run, peer } = await start();
    const { session } = await run('seq 1 50; exit 2');
    await ask('session.wait', { session, until: { type: 'exit' } });
    expect((await ask('session.read', { session })).lines.slice(-3)).toEqual(['49', '50', '']);
    expect((await ask('session.read', { session, scrollback: 3 })).lines[0]).toBe('25');
    expect((await tailed(peer, { session, since: 3 })).bytes.toString()).toBe(numbered(50).slice(3));
  });
});

describe('a tail', () => {
  test('follows to the end and reports the exit', async () => {
    const { runRaw, peer, write } = await start();
    const { session } = await runRaw('read go; seq 1 30000; exit 9');
    const all = tailed(peer, { session, since: 6, follow: true });
    await write(session, '\n');
    const { bytes, result, events } = await all;
    expect(bytes.toString() === numbered(30_000).replaceAll('\r\n', '\n')).toBe(true);
    expect(result).toMatchObject({ exitCode: 9, offset: 6 + bytes.length, firstOffset: 0 });
    expect(events).toEqual([{ type: 'start', session, machine: 'BOX', offset: 6 }]);
  });

  test('marks what the log no longer has', async () => {
    const { ask, run, peer } = await start({ logCapBytes: 1 << 20 });
    const { session } = await run('seq 1 400000');
    await ask('session.wait', { session, until: { type: 'exit' } });
    const info = async () => (await ask('session.list', {})).sessions[0]!;
    // The cap is on what is on disk, where the last bytes come a moment after the exit.
    const kept = async () => (await info()).outputBytes - (await info()).firstOffset;
    await expect.poll(kept, soon).toBeLessThanOrEqual(1 << 20);
    const { firstOffset } = await info();
    const { bytes, events } = await tailed(peer, { session, since: 10 });
    expect(events).toEqual([
      { type: 'start', session, machine: 'BOX', offset: firstOffset },
      { type: 'gap', from: 10, to: firstOffset },
    ]);
    expect(bytes.toString() === numbered(400_000).slice(firstOffset)).toBe(true);
  });

  test('ends when its caller does', async () => {
    const { run, peer } = await start();
    const { session } = await run('exec cat');
    const call = typedCall(peer, 'session.tail', { session, follow: true });
    await new Promise<void>((resolve) => call.onEvent(() => resolve()));
    call.cancel();
    await expect(call.result).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('a wait', () => {
  test('for idleness counts from the last output or input', async () => {
    const { ask, run, write } = await start();
    const started = performance.now();
    const { session } = await run('stty -echo; for i in 1 2 3 4; do echo $i; sleep 0.1; done; exec cat');
    await ask('session.wait', { session, until: { type: 'idle', ms: 300 } });
    expect(performance.now() - started).toBeGreaterThan(600);
    const typed = performance.now();
    await write(session, 'x');
    await ask('session.wait', { session, until: { type: 'idle', ms: 200 } });
    expect(performance.now() - typed).toBeGreaterThanOrEqual(200);
  });

  test('for a match looks at the screen now, and at what comes after', async () => {
    const { ask, run, write } = await start();
    const { session } = await run(`stty -echo; printf 'pass\\033[1mword: '; exec cat`);
    const now = await ask('session.wait', { session, until: { type: 'match', pattern: 'pass\\w+: $' } });
    expect(now.match).toBe('password: ');
    const later = ask('session.wait', { session, until: { type: 'match', pattern: 'split here' } });
    await write(session, 'spl\x1b[3');
    await write(session, '1mit he');
    await write(session, 're\n');
    expect((await later).match).toBe('split here');
    const { outputOffset } = await write(session, 'again\n');
    const since = await ask('session.wait', {
      session,
      until: { type: 'match', pattern: 'aga.n', since: outputOffset },
    });
    expect(since).toMatchObject({ match: 'again', session, machine: 'BOX' });
    await expect(
      ask(
        'session.wait',
        { session, until: { type: 'match', pattern: 'split', since: outputOffset } },
        { deadlineMs: 300 },
      ),
    ).rejects.toMatchObject({ code: 'timeout' });
  });

  test('for a match that can never come says so', async () => {
    const { ask, run } = await start();
    const { session } = await run('echo bye');
    const until = { type: 'match', pattern: 'hello' } as const;
    await expect(ask('session.wait', { session, until })).rejects.toMatchObject({
      code: 'session_ended',
      message: expect.stringContaining('nothing it wrote matched'),
    });
    expect(await ask('session.wait', { session, until: { type: 'match', pattern: 'bye' } })).toMatchObject({
      match: 'bye',
    });
    await expect(ask('session.wait', { session, until: { type: 'match', pattern: '(' } })).rejects.toMatchObject({
      code: 'usage',
    });
  });

  test('for the exit gives code or signal, also long after it', async () => {
    const { ask, run } = await start();
    const { session } = await run('read x; exit 12');
    const first = ask('session.wait', { session, until: { type: 'exit' } });
    await ask('session.write', { session }, { body: Buffer.from('\n') });
    expect(await first).toMatchObject({ exitCode: 12, signal: null, state: 'exited' });
    expect(await ask('session.wait', { session, until: { type: 'exit' } })).toMatchObject({ exitCode: 12 });
    const killed = await run('kill -9 $$');
    expect(await ask('session.wait', { session: killed.session, until: { type: 'exit' } })).toMatchObject({
      exitCode: null,
      signal: 'SIGKILL',
    });
  });

  test('for a state ends with it, with the session, or with the deadline', async () => {
    const { ask, run } = await start();
    const { session } = await run('read x');
    const state = ask('session.wait', { session, until: { type: 'state', state: 'exited' } });
    await expect(
      ask('session.wait', { session, until: { type: 'state', state: 'idle' } }, { deadlineMs: 100 }),
    ).rejects.toMatchObject({ code: 'timeout' });
    const never = ask('session.wait', { session, until: { type: 'state', state: 'busy' } });
    never.catch(() => undefined);
    await ask('session.write', { session }, { body: Buffer.from('\n') });
    expect(await state).toMatchObject({ state: 'exited' });
    await expect(never).rejects.toMatchObject({ code: 'session_ended' });
  });
});
