import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endLeftovers, TestMachine } from '../support/machine.ts';
import { UserManager, whyNoUserManager } from '../support/user-manager.ts';

interface Report {
  installed: boolean;
  enabled: boolean;
  running: boolean;
  pid: number | null;
  name: string;
  file: string;
  current: boolean | null;
  linger: boolean | null;
  detail: string;
}

let scratch: string;
let manager: UserManager | undefined;
let machine: TestMachine;

/** A machine whose commands run within the login of a real systemd user manager. */
async function machineUnderSystemd(home: string): Promise<{ machine: TestMachine; manager: UserManager }> {
  manager = await UserManager.start(join(scratch, 'account'));
  mkdirSync(home, { recursive: true, mode: 0o700 });
  machine = new TestMachine('served', home);
  machine.prefix = manager.prefix;
  Object.assign(machine.env, { HOME: manager.home, XDG_RUNTIME_DIR: '/run/user/0' });
  delete machine.env['XDG_CONFIG_HOME'];
  return { machine, manager };
}

const pidOf = async (on: TestMachine): Promise<number> => (await on.json<{ pid: number }>('status')).pid;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'niia-service-'));
});

afterEach(async () => {
  const ending = manager;
  manager = undefined;
  await ending?.stop();
  if (machine) endLeftovers(machine.home);
  rmSync(scratch, { recursive: true, force: true });
});

const cannot = whyNoUserManager();

describe.skipIf(cannot)('a machine that systemd runs', { timeout: 180_000 }, () => {
  it('takes a running machine over, and keeps its sessions through stop, start, failure and restart', async () => {
    const { machine, manager } = await machineUnderSystemd(join(scratch, `a home, 100% "mine" & ünï`));
    await machine.ok('up', '--direct', 'off', '--p2p', 'off', '--lan', 'off');
    const before = await pidOf(machine);
    const session = await machine.json<{ session: string; pid: number }>('new', '--name', 'main');

    const installed = await machine.json<Report>('service', 'install');
    expect(installed).toMatchObject({ installed: true, enabled: true, running: true, current: true });
    expect(installed.name).toMatch(/^niia-[0-9a-f]{12}\.service$/);
    expect(statSync(installed.file).mode & 0o777).toBe(0o600);
    const byService = await pidOf(machine);
    expect(byService).toBe(installed.pid);
    expect(byService).not.toBe(before);
    expect(manager.isAlive(before)).toBe(false);
    expect(manager.isAlive(session.pid)).toBe(true);

    // A session that was started since: its headless server stands in the unit's own control group.
    await machine.ok('kill', '--session', 'main');
    await machine.ok('down', '--sessions');
    await machine.ok('up');
    const restarted = await pidOf(machine);
    expect(await machine.json<Report>('service', 'status')).toMatchObject({ running: true, pid: restarted });
    const { pid: shell } = await machine.json<{ pid: number }>('new', '--name', 'inside');
    expect(manager.ctl('status', installed.name)).toContain(String(shell));

    manager.ctl('stop', installed.name);
    expect(manager.isAlive(restarted)).toBe(false);
    expect(manager.isAlive(shell)).toBe(true);
    expect(await machine.json<Report>('service', 'status')).toMatchObject({
      installed: true,
      running: false,
      pid: null,
    });
    manager.ctl('start', installed.name);
    await manager.until(`is-active ${installed.name}`, (said) => said === 'active');
    // It waits for the daemon that has been started.
    await machine.ok('up');
    await machine.ok('write', '--session', 'inside', 'echo still-$((40+2))\r');
    await machine.ok('wait', '--session', 'inside', '--match', 'still-42', '--timeout', '20');

    // A crash is mended by the manager; a clean stop is not undone.
    const crashed = await pidOf(machine);
    manager.run('kill', '-9', String(crashed));
    await manager.until(
      `show ${installed.name} --property=MainPID --value`,
      (pid) => !['0', `${crashed}`].includes(pid),
    );
    await machine.ok('up');
    await machine.ok('wait', '--session', 'inside', '--match', 'still-42', '--timeout', '20');
    expect(manager.isAlive(shell)).toBe(true);
    const down = await machine.run(['down']);
    expect(down.stderr).toContain('niia service uninstall');
    expect(manager.ctl('is-active', installed.name)).toBe('inactive');
    expect(manager.ctl('show', installed.name, '--property=Result', '--value')).toBe('success');
    expect(manager.isAlive(shell)).toBe(true);

    // `up` starts by the service, and its flags become settings.
    await machine.ok('up', '--label', 'by=service');
    expect(await machine.json<Report>('service', 'status')).toMatchObject({ running: true, pid: await pidOf(machine) });
    expect(await machine.ok('config', 'get', 'label.by')).toBe('service');
    const environment = await machine.ok('ask', 'env');
    expect(environment).not.toMatch(/INVOCATION_ID|MANAGERPID/);

    const removed = await machine.json<{ removed: boolean; stopped: boolean }>('service', 'uninstall');
    expect(removed).toMatchObject({ removed: true, stopped: true, sessionsLeft: 1 });
    expect(manager.isAlive(shell)).toBe(true);
    expect(await machine.json<Report>('service', 'status')).toMatchObject({ installed: false, enabled: false });
    await machine.ok('up');
    expect((await machine.json<{ sessions: Array<{ pid: number }> }>('list')).sessions.at(-1)?.pid).toBe(shell);
    await machine.ok('down', '--sessions');
  });

  it('leaves things as they were where the service cannot run', { tags: 'full' }, async () => {
    const { machine } = await machineUnderSystemd(join(scratch, 'home'));
    await machine.ok('up', '--direct', 'off', '--p2p', 'off', '--lan', 'off');
    const { pid: shell } = await machine.json<{ pid: number }>('new', '--name', 'main');
    // It starts no more: the next start reads settings that are none.
    writeFileSync(join(machine.home, 'config.json'), '{"p2p": "perhaps"}');
    const { code, stderr } = await machine.run(['service', 'install']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/did not start/);
    expect(await machine.json<Report>('service', 'status')).toMatchObject({ installed: false, enabled: false });
    expect(manager?.isAlive(shell)).toBe(true);
  });
});

it('says what to do where no user manager answers, and prints the unit, which systemd finds right', async () => {
  machine = new TestMachine('bare', join(scratch, `it's 100% "x" \\ $HOME`));
  mkdirSync(machine.home);
  Object.assign(machine.env, { HOME: scratch, XDG_RUNTIME_DIR: join(scratch, 'no-such') });
  const refused = await machine.run(['service', 'install']);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/no systemd user manager answers.*\n.*--print/s);
  const status = await machine.json<Report>('service', 'status');
  expect(status).toMatchObject({ installed: false, enabled: false, running: false, pid: null, kind: 'systemd' });

  const { stdout } = await machine.run(['service', 'install', '--print']);
  const unit = join(scratch, 'niia.service');
  // The launcher is made by an install, and verify looks whether what would be run is there.
  writeFileSync(unit, stdout);
  const verify = (): ReturnType<typeof spawnSync> =>
    spawnSync('systemd-analyze', ['--user', 'verify', unit], {
      encoding: 'utf8',
      env: { ...process.env, XDG_RUNTIME_DIR: scratch },
    });
  const verified = verify();
  expect({ status: verified.status, said: verified.stderr }).toEqual({ status: 0, said: '' });
  writeFileSync(unit, stdout.toString().replace('KillMode=process', 'KillMode=proces'));
  expect(verify().stderr).toMatch(/kill mode/i);
});
