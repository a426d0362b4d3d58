import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { describe, expect, it } from 'vitest';
import { entry, node, type TestMachine, withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';

interface Answer {
  isError: boolean;
  value: Record<string, unknown>;
}

/** An AI client with its own `niia mcp`. */
async function withClient(
  machine: TestMachine,
  args: string[],
  body: (client: Client, call: (name: string, input?: Record<string, unknown>) => Promise<Answer>) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const environment = Object.entries({ ...machine.env, ...env }).filter(([, value]) => value !== undefined);
  const transport = new StdioClientTransport({
    command: node,
    args: [entry, 'mcp', ...args],
    env: Object.fromEntries(environment) as Record<string, string>,
    stderr: 'inherit',
  });
  const client = new Client({ name: 'test', version: '1' });
  await client.connect(transport);
  try {
    await body(client, async (name, input = {}) => {
      const result = await client.callTool({ name, arguments: input });
      const [content] = result.content as { text: string }[];
      return { isError: result.isError === true, value: JSON.parse(content?.text ?? '{}') as Answer['value'] };
    });
  } finally {
    await client.close();
  }
}

const writing = ['start_session', 'write_session', 'run_command'];

describe('an AI client', () => {
  const machine = forAllTests<TestMachine>((body) => withTeam(['A', 'B'], body, { roles: { B: 'operator' } }));

  it('works with the sessions of every machine of the team', async () => {
    await withClient(machine(), [], async (client, call) => {
      const { tools } = await client.listTools();
      expect(tools.map(({ name }) => name)).toEqual(expect.arrayContaining(writing));
      expect((await call('list_machines')).value).toMatchObject({
        machines: [
          { name: 'A', self: true },
          { name: 'B', online: true },
        ],
      });
      const { value: started } = await call('start_session', { machine: 'B', name: 'cat', command: ['cat'] });
      expect(started).toMatchObject({ machine: 'B', name: 'cat' });
      expect(await call('write_session', { machine: 'B', session: 'cat', text: 'hello\r' })).toMatchObject({
        isError: false,
        value: { bytes: 6 },
      });
      expect(
        await call('wait_for_session', { machine: 'B', session: 'cat', match: '^hello$', timeoutSeconds: 20 }),
      ).toMatchObject({ isError: false, value: { match: 'hello' } });
      expect((await call('read_session', { machine: 'B', session: 'cat' })).value['lines']).toContain('hello');
      expect((await call('list_sessions', { machine: 'B' })).value).toMatchObject({ sessions: [{ name: 'cat' }] });
      expect(
        (await call('run_command', { machine: 'B', command: 'cat; echo oops >&2; exit 3', stdin: 'in' })).value,
      ).toMatchObject({ exitCode: 3, stdout: 'in', stderr: 'oops\n' });
    });
  });

  it('is told what is wrong and what to do, and is not left waiting', async () => {
    const a = machine();
    await a.ok('new', '--name', 'cat', '--', 'cat');
    await withClient(
      a,
      [],
      async (client, call) => {
        for (const [name, input, code] of [
          ['read_session', { session: 'nobody' }, 'no_such_session'],
          ['list_sessions', { machine: 'nowhere' }, 'no_such_machine'],
          ['wait_for_session', { session: 'cat', exited: true, timeoutSeconds: 1 }, 'timeout'],
          ['wait_for_session', { session: 'cat' }, 'usage'],
          ['write_session', { session: 'cat', text: 'to myself' }, 'usage'],
        ] as const) {
          expect(await call(name, input), name).toMatchObject({ isError: true, value: { error: { code } } });
        }
        const stop = new AbortController();
        const waiting = client.callTool(
          { name: 'wait_for_session', arguments: { session: 'cat', exited: true } },
          { signal: stop.signal },
        );
        stop.abort('enough');
        await expect(waiting).rejects.toThrow('enough');
        // The server serves on, and long outputs are cut in the middle.
        const { value } = await call('run_command', { command: 'seq 1 100000' });
        expect(value['stdout']).toMatch(/^1\n2\n[\s\S]*bytes left out[\s\S]*\n100000\n$/);
      },
      { NIIA_SESSION: 'local-1' },
    );
    expect(await a.ok('read', '--session', 'cat')).not.toContain('to myself');
    await a.ok('kill', '--session', 'cat');
  });

  it('hears of the progress of a long wait', async () => {
    const a = machine();
    await a.ok('new', '--name', 'long', '--', 'cat');
    await withClient(a, [], async (client) => {
      const heard = await new Promise<{ progress: number; message?: string | undefined }>((resolve, reject) => {
        client
          .callTool(
            { name: 'wait_for_session', arguments: { session: 'long', exited: true, timeoutSeconds: 30 } },
            { onprogress: resolve },
          )
          .catch(reject);
      });
      expect(heard).toMatchObject({ progress: 5, message: 'waiting for the session' });
    });
    await a.ok('kill', '--session', 'long');
  });

  it('gets no tool that writes from a server that is read-only', async () => {
    await withClient(machine(), ['--read-only'], async (client) => {
      const { tools } = await client.listTools();
      expect(tools.filter(({ name }) => writing.includes(name))).toEqual([]);
      expect(tools.every(({ annotations }) => annotations?.readOnlyHint)).toBe(true);
    });
  });

  it('finds the machine again that was down, without a new server', async () => {
    const a = machine();
    await withClient(a, [], async (_, call) => {
      await a.ok('down');
      expect(await call('list_machines')).toMatchObject({
        isError: true,
        value: { error: { code: 'daemon_not_running', hint: 'Start it with: niia up' } },
      });
      await a.ok('up');
      expect((await call('list_machines')).isError).toBe(false);
    });
  });
});
