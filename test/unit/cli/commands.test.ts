import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { NiiaError } from '../../../shared/errors.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import { encode } from '../../../shared/rpc/frames.ts';
import type { Served } from './harness.ts';
import { cliWithAnswers } from './harness.ts';

// Each step is a process, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const { cli, serve } = cliWithAnswers();

const session: SessionInfo = {
  id: 'local-1',
  name: 'main',
  command: 'bash',
  argv: ['bash'],
  cwd: '/',
  pid: 7,
  cols: 80,
  rows: 24,
  state: 'idle',
  evidence: 'no evidence',
  title: '',
  createdAt: '2026-01-01T00:00:00Z',
  endedAt: null,
  exitCode: null,
  signal: null,
  viewers: 0,
  outputBytes: 12,
  firstOffset: 0,
  owner: 'id-here',
  logError: null,
};

describe('results and errors', () => {
  test('without a daemon a command fails with 1 and says how to start it', async () => {
    const plain = await cli.run(['list']);
    expect(plain).toMatchObject({ code: 1, out: '' });
    expect(plain.err).toMatch(/^niia: no daemon runs for .*\n.*niia up\n$/);
    const json = await cli.run(['list', '--json']);
    expect(json).toMatchObject({ code: 1, out: '' });
    expect(JSON.parse(json.err)).toMatchObject({ error: { code: 'daemon_not_running', hint: expect.any(String) } });
  });

  test('a usage error is 2, as text and as JSON', async () => {
    expect(await cli.run(['statsu'])).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/^niia: unknown/) });
    const json = await cli.run(['read', '--session', '--json']);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.err)).toMatchObject({ error: { code: 'usage' } });
  });

  test("a served error keeps its code, and its code is the exit code's reason", async () => {
    await serve({
      'session.read': ({ params }) => {
        const codes = { gone: 'no_such_session', off: 'offline', no: 'denied', busy: 'busy', fence: 'fenced' } as const;
        throw new NiiaError(codes[params.session as keyof typeof codes], 'why', 'what to do');
      },
    });
    const codes = await Promise.all(
      ['gone', 'off', 'no', 'busy', 'fence'].map(async (name) => (await cli.run(['read', '--session', name])).code),
    );
    expect(codes).toEqual([3, 4, 10, 9, 8]);
    expect((await cli.run(['read', '--session', 'gone'])).err).toBe('niia: why\nwhat to do\n');
  });

  test('list is one JSON value of the served shape, or a table', async () => {
    await serve({ 'session.list': () => ({ sessions: [session] }) });
    const json = await cli.run(['list', '--json']);
    expect(json).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(json.out)).toEqual({ sessions: [session] });
    expect((await cli.run(['list'])).out).toMatch(/^SESSION +NAME.*\nlocal-1 +main +idle/);
  });

  test('a request for another machine goes there, in either form and by MACHINE/ID', async () => {
    const seen: Array<[string | undefined, string | undefined]> = [];
    await serve({
      'session.rename': ({ params }, { header }) => {
        seen.push([header.to, params.session]);
        return { session: 'local-1', machine: 'M', name: params.name };
      },
    });
    await cli.run(['remote', 'rename', 'M', 'new', '--session', 's']);
    await cli.run(['rename', '--machine', 'M', '--session', 's', 'new']);
    await cli.run(['rename', '--session', 'M/s', 'new']);
    await cli.run(['rename', '--session', 's', 'new']);
    expect(seen).toEqual([
      ['M', 's'],
      ['M', 's'],
      ['M', 's'],
      [undefined, 's'],
    ]);
    expect(await cli.run(['rename', '--machine', 'A', '--session', 'B/s', 'new'])).toMatchObject({ code: 2 });
  });

  test('new starts in the folder of its caller here, and in none of ours elsewhere', async () => {
    const folders: Array<string | undefined> = [];
    await serve({
      'session.new': ({ params }) => {
        folders.push(params.cwd);
        return { session: 'local-1', machine: 'HERE', name: 'x', pid: 5 };
      },
    });
    expect((await cli.run(['new'])).out).toBe('local-1\n');
    await cli.run(['new', '--cwd', 'sub']);
    await cli.run(['remote', 'new', 'HERE']);
    await cli.run(['remote', 'new', 'THERE']);
    await cli.run(['remote', 'new', 'THERE', '--cwd', 'sub']);
    expect(folders).toEqual([cli.folder, `${cli.folder}/sub`, cli.folder, undefined, 'sub']);
  });

  test('invite prints the code alone; advice is on stderr', async () => {
    await serve({
      'team.invite': ({ params }) => {
        expect(params).toEqual({ role: 'viewer', expiresMs: 3_600_000 });
        return { code: 'CODE', role: 'viewer', expiresAt: new Date(Date.now() + 3_600_000).toISOString() };
      },
    });
    const plain = await cli.run(['invite', '--role', 'viewer', '--expires', '1h']);
    expect(plain).toMatchObject({ code: 0, out: 'CODE\n', err: expect.stringContaining('niia join') });
    expect((await cli.run(['team', 'invite', '--role', 'viewer', '--expires', '60m', '--json'])).err).toBe('');
  });

  test('--timeout ends a wait with 5', async () => {
    await serve({ 'session.wait': () => new Promise(() => undefined) });
    const ended = await cli.run(['wait', '--session', 's', '--exit', '--timeout', '0.3']);
    expect(ended).toMatchObject({ code: 5, out: '' });
  });

  test('a daemon of another protocol version is named, not retried', async () => {
    cli.home.prepare();
    const path = cli.home.socket('daemon');
    const server = createServer((socket) => {
      const { head, body } = encode.json('hello', true, 0, {
        protocol: { min: 9, max: 9 },
        software: '9.0',
        face: 'daemon',
      });
      const bytes = Buffer.concat([head, body ?? new Uint8Array()]);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      socket.on('error', () => undefined).write(Buffer.concat([length, bytes]));
    }).listen(path);
    await once(server, 'listening');
    try {
      const refused = await cli.run(['status', '--json']);
      expect(refused.code).toBe(1);
      expect(JSON.parse(refused.err).error).toMatchObject({
        code: 'version_mismatch',
        hint: expect.stringContaining('Upgrade'),
      });
    } finally {
      server.close();
      connect(path)
        .on('error', () => undefined)
        .destroy();
    }
  });
});

describe('write', () => {
  test('types exactly the bytes of its input, in order', async () => {
    const typed: Uint8Array[] = [];
    const keys = new Set<string | undefined>();
    let offset = 40;
    await serve({
      'session.write': ({ body, key }) => {
        typed.push(body);
        keys.add(key);
        offset += 2;
        return {
          session: 'local-1',
          machine: 'HERE',
          bytes: body.length,
          receipt: `r${typed.length}`,
          outputOffset: offset,
        };
      },
    });
    const input = Buffer.alloc(700_000, Uint8Array.from([0, 255, 13, 195, 40]));
    const written = await cli.run(['write', '--session', 's', '--stdin', '--json'], input);
    expect(written.code).toBe(0);
    expect(Buffer.concat(typed).equals(input)).toBe(true);
    expect(keys.size).toBe(typed.length);
    expect(JSON.parse(written.out)).toMatchObject({
      session: 'local-1',
      bytes: input.length,
      outputOffset: 42,
      receipt: `r${typed.length}`,
    });
  });

  test('prints nothing, and types nothing without a text', async () => {
    await serve({
      'session.write': ({ body }) => ({
        session: 'l',
        machine: 'M',
        bytes: body.length,
        receipt: 'r',
        outputOffset: 0,
      }),
    });
    expect(await cli.run(['write', '--session', 's', 'x'])).toMatchObject({ code: 0, out: '', err: '' });
    expect(await cli.run(['write', '--session', 's'])).toMatchObject({ code: 2 });
    expect(await cli.run(['write', '--session', 's', 'x', '--stdin'])).toMatchObject({ code: 2 });
  });

  test('goes out again under the same key when the connection breaks before the answer', async () => {
    const keys: Array<string | undefined> = [];
    const server = await serve({
      'session.write': ({ body, key }) => {
        keys.push(key);
        if (keys.length < 3) server.breakConnections();
        return { session: 'local-1', machine: 'M', bytes: body.length, receipt: 'r', outputOffset: 1 };
      },
    });
    expect(await cli.run(['write', '--session', 's', 'once'])).toMatchObject({ code: 0 });
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
  });

  test('whose fate stays unknown ends with 7', async () => {
    const server = await serve({
      'session.write': () => {
        server.breakConnections();
        return { session: 'local-1', machine: 'M', bytes: 1, receipt: 'r', outputOffset: 1 };
      },
    });
    const lost = await cli.run(['write', '--session', 's', 'x', '--timeout', '0.5', '--json']);
    expect(lost.code).toBe(7);
    expect(JSON.parse(lost.err)).toMatchObject({ error: { code: 'outcome_unknown' } });
  });
});

describe('read --follow', () => {
  test('goes on at the byte where the connection broke, and ends with the session', async () => {
    const whole = Buffer.from(Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`).join(''));
    let calls = 0;
    const server = await serve({
      'session.tail': async ({ params, emit, sink }) => {
        const since = params.since ?? 0;
        emit({ type: 'start', session: 'local-1', machine: 'M', offset: since });
        const cut = ++calls < 4 ? since + 10_001 : whole.length;
        await sink(streams.output).writeAll(whole.subarray(since, cut));
        if (calls < 4) server.breakConnections();
        return { session: 'local-1', machine: 'M', offset: whole.length, firstOffset: 0, exitCode: 0, signal: null };
      },
    });
    const read = await cli.run(['read', '--session', 's', '--raw', '--follow']);
    expect(read.code).toBe(0);
    expect(read.stdout.equals(whole)).toBe(true);
    expect(calls).toBe(4);
  });

  test('tells a gap on stderr, and as a line of its own with --json', async () => {
    await serve({
      'session.tail': async ({ emit, sink }) => {
        emit({ type: 'start', session: 'local-1', machine: 'M', offset: 100 });
        emit({ type: 'gap', from: 0, to: 100 });
        await sink(streams.output).writeAll(Buffer.from('rest'));
        return { session: 'local-1', machine: 'M', offset: 104, firstOffset: 100, exitCode: 3, signal: null };
      },
    });
    const plain = await cli.run(['read', '--session', 's', '--since', '0', '--follow']);
    expect(plain).toMatchObject({ out: 'rest', err: expect.stringContaining('from byte 0 to 100') });
    const lines = (await cli.run(['read', '--session', 's', '--since', '0', '--follow', '--json'])).out
      .trim()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { gap: { from: 0, to: 100 } },
      { offset: 100, base64: Buffer.from('rest').toString('base64') },
      { offset: 104, exitCode: 3, signal: null },
    ]);
    const value = JSON.parse((await cli.run(['read', '--session', 's', '--raw', '--since', '0', '--json'])).out);
    expect(value).toMatchObject({ offset: 100, end: 104, gap: { from: 0, to: 100 }, base64: expect.any(String) });
  });
});

describe('an answer to a question', () => {
  test('that is not found is fenced, or may wait where nobody could ask', async () => {
    const machine = { id: 'b', path: null, rttMs: null, since: null, lastSeen: null, version: null } as const;
    const more = { platform: null, headless: 'unknown', sessions: 0, role: 'admin', labels: {} } as const;
    const machines = [{ ...machine, ...more, name: 'HERE', id: 'id-here', self: true, online: true }];
    const away = { ...machine, ...more, name: 'B', self: false, online: false };
    let all = machines;
    await serve({ 'machine.list': () => ({ machines: all }), 'session.approvals': () => ({ questions: [] }) });
    expect(await cli.run(['approve', 'x', 'allow'])).toMatchObject({ code: 8 });
    all = [...machines, away];
    expect(await cli.run(['approve', 'x', 'allow'])).toMatchObject({ code: 4, err: expect.stringContaining('B (') });
  });
});

describe('a policy', () => {
  test('without a name replaces none, on no machine, though two are set at once', async () => {
    const set: Array<[string, string | undefined]> = [];
    const machine = { name: 'B', id: 'b', self: false, online: true, path: null, rttMs: null, since: null } as const;
    const more = { lastSeen: null, version: null, platform: null, headless: 'unknown', sessions: 0 } as const;
    const other = { ...machine, ...more, role: 'admin', labels: {} } as const;
    await serve({
      'machine.list': () => ({ machines: [{ ...other, name: 'HERE', id: 'id-here', self: true }, other] }),
      'policy.list': () => ({ policies: [] }),
      'policy.set': ({ params }, { header }) => {
        set.push([params.name, header.to]);
        return { policies: [params] };
      },
    });
    const both = ['make', 'npm test'].map((pattern) => cli.run(['policy', 'allow', pattern, '--team']));
    for (const outcome of await Promise.all(both)) expect(outcome).toMatchObject({ code: 0, err: '' });
    expect(set).toHaveLength(4);
    expect(new Set(set.map(([name]) => name)).size).toBe(2);
    expect(set.map(([, to]) => to ?? 'here').sort()).toEqual(['b', 'b', 'here', 'here']);
  });
});

describe('completion', () => {
  const names: Served = {
    'machine.list': () => ({ machines: [] }),
    'session.list': (_, { header }) => ({ sessions: [{ ...session, name: header.to ? `at-${header.to}` : 'main' }] }),
  };
  const offers = async (...words: string[]): Promise<string[]> => {
    const { out } = await cli.run(['__complete', '--', ...words]);
    return out
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t')[0] ?? '');
  };

  test('offers commands, their words, their options and the names that exist', async () => {
    await serve(names);
    expect(await offers('sta')).toEqual(['status', 'start']);
    expect(await offers('team', '')).toEqual(['create', 'show', 'invite', 'join', 'role', 'remove']);
    expect(await offers('remote', 'status', '')).toEqual(expect.arrayContaining(['list']));
    expect(await offers('read', '--sc')).toEqual(['--scrollback']);
    expect(await offers('wait', '--state', 'b')).toEqual(['busy', 'blocked']);
    expect(await offers('read', '--session', '')).toEqual(['local-1', 'main']);
    expect(await offers('remote', 'read', 'M', '--session', '')).toEqual(['local-1', 'at-M']);
    expect(await offers('attach', 'M/')).toEqual(['M/local-1', 'M/at-M']);
  });

  test('offers what it can without a daemon, and no error', async () => {
    expect(await cli.run(['__complete', '--', 'read', '--session', ''])).toMatchObject({ code: 0, out: '', err: '' });
    for (const shell of ['bash', 'zsh', 'fish']) {
      expect((await cli.run(['completion', shell])).out).toContain('niia __complete');
    }
  });
});
