import { describe, expect, test } from 'vitest';
import { jumpAtLag } from '../../../daemon/headless/viewer.ts';
import { as, Client, connect, numbered, soon, start, tailed } from './support.ts';

describe('a viewer', () => {
  test('sees the screen as it is, then every byte, then the exit', async () => {
    const { ask, run, write, peer } = await start();
    const { session } = await run('stty -echo; echo before; read line; echo "got $line"; exit 7');
    await ask('session.wait', { session, until: { type: 'match', pattern: 'before' } });
    await ask('session.read', { session });
    const viewer = new Client(peer, { session });
    await viewer.attached();
    expect(viewer.events.slice(0, 2)).toMatchObject([
      { type: 'attached', session, machine: 'BOX', offset: 8, inputOffset: 0, cols: 80, rows: 24 },
      { type: 'snapshot', offset: 8, gap: null, cols: 80, rows: 24 },
    ]);
    await write(session, 'x\n');
    expect(await viewer.result).toMatchObject({ reason: 'exited', exitCode: 7, signal: null, offset: 15 });
    expect(viewer.pictures[0]?.toString()).toContain('before');
    expect(viewer.text).toBe('got x\r\n');
  });

  test('of two gets the same bytes as the other, exactly, and none of the binary ones is touched', async () => {
    const { ask, peer, server, runRaw } = await start();
    const { session } = await runRaw(
      `read go; i=0; while [ $i -lt 300 ]; do printf 'a\\303\\244\\377\\000\\033[31m%s\\n' $i; i=$((i+1)); done`,
    );
    const one = new Client(peer, { session, client: 'one' });
    const two = new Client(await connect(server), { session, client: 'two' });
    await Promise.all([one.attached(), two.attached()]);
    await ask('session.write', { session }, { body: Buffer.from('\n') });
    await Promise.all([one.result, two.result]);
    const wanted = Buffer.concat(
      Array.from({ length: 300 }, (_, i) =>
        Buffer.concat([Buffer.from('61c3a4ff001b5b33316d', 'hex'), Buffer.from(`${i}\n`)]),
      ),
    );
    expect(one.output.equals(wanted)).toBe(true);
    expect(two.output.equals(wanted)).toBe(true);
    expect((await tailed(peer, { session, since: 6 })).bytes.equals(wanted)).toBe(true);
  });

  test('whose connection breaks in mid-stream comes back by offset and has every byte once', async () => {
    const { write, server, ask, runRaw } = await start();
    const { session } = await runRaw('read go; seq 1 40000; cat');
    const first = await connect(server);
    const before = new Client(first, { session });
    await before.attached();
    await write(session, '\n');
    await before.until((client) => client.output.length > 50_000);
    first.close();
    await before.until(() => first.closed);
    const kept = before.output;
    const after = new Client(await connect(server), { session, since: before.offset });
    await after.attached();
    expect(after.of('snapshot')).toEqual([]);
    expect(after.of('attached')[0]?.offset).toBe(before.offset);
    const wanted = numbered(40_000).replaceAll('\r\n', '\n');
    await after.until((client) => kept.length + client.output.length >= wanted.length);
    expect(Buffer.concat([kept, after.output]).toString() === wanted).toBe(true);
    expect((await ask('session.list', {})).sessions[0]).toMatchObject({ viewers: 1 });
  });

  test('that comes back too late gets a picture and is told what it missed', async () => {
    const { run, peer, ask } = await start();
    const { session } = await run('seq 1 400000; echo done; exec cat');
    await ask('session.wait', { session, until: { type: 'match', pattern: '^done' } });
    const viewer = new Client(peer, { session, since: 1000 });
    await viewer.attached();
    const [picture] = viewer.of('snapshot');
    expect(picture?.gap).toEqual({ from: 1000, to: picture?.offset });
    await viewer.until((client) => client.pictures[0]?.length === picture?.length);
    // A screen may be behind its output; what comes after the picture goes on where it ends.
    await viewer.until((client) => `${client.pictures[0]}${client.text}`.includes('done'));
    expect(`${viewer.pictures[0]}${viewer.text}`).toMatch(/399998\r\n399999\r\n400000\r\ndone/);
    expect(viewer.pictures[0]?.toString().split('\r\n').length).toBeGreaterThan(1000);
  });

  test('that is too slow jumps, and holds nobody up', async () => {
    const { write, peer, server, runRaw } = await start();
    const { session } = await runRaw('read go; seq 1 250000; printf end; read go');
    const slowPeer = await connect(server);
    const slow = new Client(slowPeer, { session, client: 'slow' }, {}, true);
    const quick = new Client(peer, { session, client: 'quick' });
    await Promise.all([slow.attached(), quick.attached()]);
    await write(session, '\n');
    await quick.until((client) => client.text.endsWith('end'));
    expect(slow.output.length).toBe(0);
    slow.receive();
    const wanted = 6 + numbered(250_000).replaceAll('\r\n', '\n').length + 3;
    await slow.until((client) => client.offset === wanted);
    const gap = slow.of('snapshot').at(-1)?.gap;
    expect(gap).not.toBeNull();
    expect(gap!.to - gap!.from).toBeGreaterThan(jumpAtLag);
    await slow.until((client) => client.pictures.at(-1)!.length === client.of('snapshot').at(-1)!.length);
    expect(slow.pictures.at(-1)?.toString()).toContain('250000');
    await write(session, '\n');
    expect((await slow.result).reason).toBe('exited');
  });

  test('types once what it sends twice', async () => {
    const { server, runRaw } = await start();
    const { session } = await runRaw('head -c 20 | od -An -c');
    const first = await connect(server);
    const before = new Client(first, { session, client: 'me' });
    await before.attached();
    before.type('0123456789');
    await before.until((client) => client.of('typed').at(-1)?.inputOffset === 10);
    first.close();
    const after = new Client(await connect(server), { session, client: 'me', inputOffset: 6 });
    await after.attached();
    expect(after.of('attached')[0]?.inputOffset).toBe(10);
    after.type('678');
    after.type('9ab');
    after.type('cdefghij');
    await after.until((client) => client.of('typed').at(-1)?.inputOffset === 20);
    await after.result;
    const typed = after.text.replaceAll(/\s+/g, '');
    expect(typed).toBe('0123456789abcdefghij');
  });

  test('that comes back takes the place of its broken connection', async () => {
    const { run, peer, server, ask } = await start();
    const { session } = await run('exec cat');
    const old = new Client(peer, { session, client: 'me' });
    await old.attached();
    const back = new Client(await connect(server), { session, client: 'me' });
    expect(await old.result).toMatchObject({ reason: 'detached' });
    await back.attached();
    await expect.poll(async () => (await ask('session.list', {})).sessions[0]?.viewers, soon).toBe(1);
  });

  test('that only reads neither types nor resizes', async () => {
    const { run, peer, ask, write } = await start();
    const { session } = await run('exec cat');
    const reader = new Client(peer, { session, client: 'r', readOnly: true, cols: 40, rows: 10 }, as('viewer'));
    await reader.attached();
    expect(reader.of('attached')[0]).toMatchObject({ cols: 80, rows: 24 });
    reader.type('from the reader\n');
    reader.call.emit({ type: 'resize', cols: 20, rows: 5 });
    await write(session, 'from a writer\n');
    await reader.until((client) => client.text.includes('from a writer\r\nfrom a writer\r\n'));
    expect(reader.text).not.toContain('reader');
    expect(await ask('session.read', { session })).toMatchObject({ cols: 80, rows: 24 });
  });

  test('hears of the title', async () => {
    const { run, peer, write, ask } = await start();
    const { session } = await run(`stty -echo; read go; printf '\\033]2;my title\\007'; exec cat`);
    const viewer = new Client(peer, { session });
    await viewer.attached();
    await write(session, '\n');
    await viewer.until((client) => client.of('title').at(-1)?.title === 'my title');
    expect((await ask('session.list', {})).sessions[0]).toMatchObject({ title: 'my title' });
    const late = new Client(peer, { session, client: 'late' });
    await late.until((client) => client.of('title').at(-1)?.title === 'my title');
  });

  test('of an ended session sees its last screen and its exit', async () => {
    const { run, peer, ask } = await start();
    const { session } = await run('seq 1 200; echo last words; exit 5');
    await ask('session.wait', { session, until: { type: 'exit' } });
    const viewer = new Client(peer, { session });
    expect(await viewer.result).toMatchObject({ reason: 'exited', exitCode: 5 });
    expect(viewer.pictures[0]?.toString()).toContain('last words');
    expect(viewer.pictures[0]?.toString()).toContain('\r\n10\r\n');
    const brief = new Client(peer, { session, scrollback: 0 });
    await brief.result;
    expect(brief.pictures[0]?.toString()).toContain('last words');
    expect(brief.pictures[0]?.toString()).not.toContain('\r\n10\r\n');
  });

  test('may create the session named main', async () => {
    const { peer, ask } = await start();
    const viewer = new Client(peer, { create: true, cwd: '/tmp', cols: 100, rows: 30 });
    await viewer.attached();
    expect(viewer.of('attached')[0]).toMatchObject({ session: 'local-1', name: 'main' });
    await expect.poll(() => ask('session.read', {}), soon).toMatchObject({ cols: 100, rows: 30 });
  });
});

describe('the size', () => {
  test('follows who typed last, in order with the output', async () => {
    const { ask, peer, server } = await start();
    const program = `
      const tell = (what) => console.log(what + ' ' + process.stdout.rows + ' ' + process.stdout.columns + '.');
      process.stdout.on('resize', () => tell('size'));
      process.stdin.setRawMode(true).on('data', (line) => console.log('read ' + line));
      tell('ready');
    `;
    const { session } = await ask('session.new', { argv: [process.execPath, '-e', program] });
    await ask('session.wait', { session, until: { type: 'match', pattern: 'ready 24 80' } });
    const one = new Client(peer, { session, client: 'one', cols: 100, rows: 30 });
    await one.attached();
    await one.until(
      (client) => client.text.includes('size 30 100.') || client.pictures.join('').includes('size 30 100.'),
    );
    const secondPeer = await connect(server);
    const two = new Client(secondPeer, { session, client: 'two', cols: 120, rows: 40 });
    await two.attached();
    expect(two.of('attached')[0]).toMatchObject({ cols: 100, rows: 30 });
    two.type('hello\n');
    await two.until((client) => client.text.includes('size 40 120.') && client.text.includes('read hello'));
    expect(one.of('size').at(-1)).toEqual({ type: 'size', cols: 120, rows: 40 });
    one.call.emit({ type: 'resize', cols: 90, rows: 20 });
    two.call.emit({ type: 'resize', cols: 121, rows: 41 });
    await one.until((client) => client.text.includes('size 41 121.'));
    expect(one.text).not.toContain('size 20 90.');
    secondPeer.close();
    await one.until((client) => client.text.includes('size 20 90.'));
    expect(one.of('size').map(({ cols }) => cols)).toEqual([
      ...(one.of('size')[0]?.cols === 100 ? [100] : []),
      120,
      121,
      90,
    ]);
  });

  test('of a fixed session is its own', async () => {
    const { run, peer, ask } = await start();
    const { session } = await run('exec cat', { sizing: 'fixed', cols: 132, rows: 43 });
    const viewer = new Client(peer, { session, cols: 50, rows: 10 });
    await viewer.attached();
    viewer.type('x\n');
    viewer.call.emit({ type: 'resize', cols: 60, rows: 11 });
    await viewer.until((client) => client.text.includes('x\r\nx\r\n'));
    expect(viewer.of('attached')[0]).toMatchObject({ cols: 132, rows: 43 });
    expect(viewer.of('size')).toEqual([]);
    expect(await ask('session.read', { session })).toMatchObject({ cols: 132, rows: 43 });
  });
});

describe('a flood', () => {
  test('in one session leaves another’s keystrokes quick', async () => {
    const { run, peer, server, ask, runRaw } = await start();
    const flood = await run('yes flooding');
    const flooded = new Client(await connect(server), { session: flood.session, client: 'flooded' });
    await flooded.attached();
    const { session } = await runRaw('exec cat');
    const viewer = new Client(peer, { session });
    await viewer.attached();
    for (let i = 0; i < 50; i++) {
      viewer.type(String.fromCharCode(97 + (i % 26)));
      await viewer.until((client) => client.output.length === i + 1);
    }
    const bytes = async () => (await ask('session.list', {})).sessions[0]!.outputBytes;
    const seen = await bytes();
    await flooded.until((client) => client.offset > seen);
    expect(await bytes()).toBeGreaterThan(seen);
  });
});

describe('a terminal’s answers', () => {
  test('come from the screen while nobody watches, and from the viewer’s terminal otherwise', async () => {
    const { run, peer, ask, runRaw } = await start();
    const script = `stty raw -echo; printf '\\033[6n'; dd bs=1 count=6 2>/dev/null | od -An -c; exec cat`;
    const alone = await run(script);
    await ask('session.wait', { session: alone.session, until: { type: 'match', pattern: '033' } });
    expect((await ask('session.read', { session: alone.session })).lines.join(' ')).toContain(
      '033   [   1   ;   1   R',
    );
    const { session } = await runRaw(`read go; ${script}`);
    const viewer = new Client(peer, { session });
    await viewer.attached();
    viewer.type('\n');
    await viewer.until((client) => client.text.includes('\x1b[6n'));
    viewer.type('\x1b[9;9R');
    await viewer.until((client) => client.text.includes('033   [   9   ;   9   R'));
  });
});
