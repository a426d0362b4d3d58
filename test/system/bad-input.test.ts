import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { endLeftovers, isAlive, TestMachine, withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';

async function withLoneMachine(body: (machine: TestMachine, home: string) => Promise<void>): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'niia-test-'));
  const home = join(scratch, 'home');
  mkdirSync(home, { mode: 0o700 });
  const machine = new TestMachine('LONE', home);
  try {
    await body(machine, home);
  } finally {
    await machine.run(['down', '--sessions']);
    endLeftovers(home);
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Every refusal has a code, says what failed in its message and what to do next. */
async function refusal(machine: TestMachine, args: string[], exit: number, code: string): Promise<void> {
  const plain = await machine.run(args);
  expect([args, plain.code]).toEqual([args, exit]);
  expect(plain.stdout.toString()).toBe('');
  expect(plain.stderr).toMatch(/^niia: .+\n.+/);
  const json = await machine.run(['--json', ...args]);
  const { error } = JSON.parse(json.stderr) as { error: { code: string; message: string; hint: string } };
  expect([args, json.code, error.code]).toEqual([args, exit, code]);
  expect(error.message).not.toBe('');
}

describe('a command that cannot be carried out says what, why and what to do', () => {
  it('where no daemon runs', async () => {
    await withLoneMachine(async (machine) => {
      await refusal(machine, ['list'], 1, 'daemon_not_running');
      expect((await machine.run(['down'])).code).toBe(0);
    });
  });

  const running = forAllTests<TestMachine>((body) =>
    withLoneMachine(async (machine) => {
      await machine.ok('up');
      await body(machine);
    }),
  );
  const wrongWords = [['list', '--frobnicate'], ['new', '--cols', 'wide'], ['wait'], ['config', 'set', 'nothing', 'x']];
  const otherWrongWords = [
    ['frobnicate'],
    ['new', '--cols'],
    ['read', '--scrollback', '-1'],
    ['write'],
    ['invite', '--role', 'king'],
    ['invite', '--expires', 'soon'],
    ['list', '--timeout', 'x'],
    ['rename'],
    ['wait', '--match', '('],
  ];
  const titled = (all: string[][]) => all.map((args) => ({ words: args.join(' '), args }));
  const areWrong = async ({ args }: { args: string[] }): Promise<void> => await refusal(running(), args, 2, 'usage');
  it.each(titled(wrongWords))('where the words are wrong: niia $words', areWrong);
  it.each(titled(otherWrongWords))('where the words are wrong: niia $words', { tags: 'full' }, areWrong);

  it('where there is no such machine or session, or a name is taken', async () => {
    const machine = running();
    await refusal(machine, ['remote', 'list', 'NOWHERE'], 3, 'no_such_machine');
    await refusal(machine, ['read'], 3, 'no_such_session');
    await refusal(machine, ['kill', '--session', 'local-9'], 3, 'no_such_session');
    await machine.ok('new', '--name', 'one', '--', 'cat');
    await machine.ok('new', '--name', 'two', '--', 'cat');
    await refusal(machine, ['read'], 3, 'no_such_session');
    await refusal(machine, ['new', '--name', 'one'], 1, 'name_taken');
    await refusal(machine, ['rename', '--session', 'two', 'one'], 1, 'name_taken');
    await refusal(machine, ['new', '--', 'no-such-program'], 2, 'usage');
    await refusal(machine, ['new', '--cwd', '/no/such/folder'], 2, 'usage');
    await refusal(machine, ['wait', '--session', 'one', '--match', 'never', '--timeout', '0.3'], 5, 'timeout');
  });

  it('where the home cannot be used', async () => {
    await withLoneMachine(async (machine, home) => {
      writeFileSync(join(home, 'file'), '');
      const { code, stderr } = await machine.run(['up'], { env: { NIIA_HOME: join(home, 'file') } });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^niia: .*file.*\n.*NIIA_HOME/s);
    });
  });

  it('where a file of the home is damaged, and overwrites nothing', async () => {
    await withLoneMachine(async (machine, home) => {
      await machine.ok('up');
      await machine.ok('down');
      for (const file of ['identity.json', 'config.json']) {
        const whole = readFileSync(join(home, file), 'utf8');
        writeFileSync(join(home, file), whole.slice(0, 20));
        const { code, stderr } = await machine.run(['up']);
        expect([file, code]).toEqual([file, 1]);
        expect(stderr).toContain(file);
        expect(readFileSync(join(home, file), 'utf8')).toBe(whole.slice(0, 20));
        writeFileSync(join(home, file), whole);
      }
      await machine.ok('up');
    });
  });

  it('where the port is taken', async () => {
    await withLoneMachine(async (machine) => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      try {
        const { code, stderr } = await machine.run(['up', '--listen', `127.0.0.1:${port}`]);
        expect(code).toBe(1);
        expect(stderr).toMatch(new RegExp(`${port}.*\\n.+`));
        const gateway = await machine.run(['gateway', '--listen', `127.0.0.1:${port}`]);
        expect([gateway.code, gateway.stdout.toString()]).toEqual([1, '']);
        expect(gateway.stderr).toContain(`${port}`);
      } finally {
        server.close();
      }
    });
  });

  it('where the gateway cannot be reached: the machine is up all the same, and says so', async () => {
    await withLoneMachine(async (machine) => {
      await machine.ok('up', '--gateway', `wss://127.0.0.1:9/#${Buffer.alloc(48, 1).toString('base64url')}`);
      await machine.ok('new', '--', 'cat');
      const { gateway } = await machine.json<{ gateway: { state: string; error: string } }>('status');
      expect(gateway.state).toBe('connecting');
      expect(gateway.error).toMatch(/127\.0\.0\.1:9/);
      const joined = await machine.run(['join', 'niia1-AAAA']);
      expect(joined.code).toBe(2);
    });
  });
});

describe('what earlier processes left behind', () => {
  it('does not stop the next start: a stale socket, lock and pid file are recognised', async () => {
    await withLoneMachine(async (machine) => {
      await machine.ok('up');
      const first = machine.daemonPid;
      expect((await machine.json<{ pid: number }>('up')).pid).toBe(first);
      await machine.killDaemon();
      expect((await machine.run(['list'])).code).toBe(1);
      await machine.ok('up');
      expect(machine.daemonPid).not.toBe(first);
      expect(isAlive(machine.daemonPid)).toBe(true);
    });
  });

  it('ten starts at once make one daemon', async () => {
    await withLoneMachine(async (machine) => {
      const pids = await Promise.all(
        Array.from({ length: 10 }, async () => (await machine.json<{ pid: number }>('up')).pid),
      );
      expect(new Set(pids).size).toBe(1);
    });
  });

  it('a home too deep for a socket still works', async () => {
    await withLoneMachine(async (_, home) => {
      const deep = join(home, 'd'.repeat(60), 'e'.repeat(60));
      mkdirSync(deep, { recursive: true, mode: 0o700 });
      const machine = new TestMachine('DEEP', deep);
      try {
        await machine.ok('up');
        await machine.ok('new', '--name', 'main', '--', 'cat');
        await machine.ok('write', 'deep\r');
        await machine.ok('wait', '--match', 'deep', '--timeout', '10');
      } finally {
        await machine.run(['down', '--sessions']);
        endLeftovers(deep);
      }
    });
  });
});

describe('a hostile local client', () => {
  it('gets an end to its connection, and nobody else notices', async () => {
    await withTeam(['A'], async (a) => {
      await a.ok('new', '--name', 'main', '--', 'cat');
      for (const bytes of [
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.from([255, 255, 255, 255]),
        Buffer.from([0, 0, 0, 2, 99, 99]),
        Buffer.alloc(0),
      ]) {
        const socket = connect(join(a.home, 'daemon.sock'));
        await once(socket, 'connect');
        socket.on('error', () => undefined);
        socket.resume();
        socket.end(bytes);
        await once(socket, 'close');
      }
      await a.ok('write', 'still here\r');
      await a.ok('wait', '--match', 'still here', '--timeout', '10');
    });
  });

  it('cannot loosen the home: it is private again after the next start', async () => {
    await withLoneMachine(async (machine, home) => {
      await machine.ok('up');
      await machine.ok('down');
      chmodSync(home, 0o755);
      await machine.ok('up');
      const { stdout } = await machine.run(['ask', `stat -c %a ${home}`]);
      expect(stdout.toString().trim()).toBe('700');
    });
  });
});
