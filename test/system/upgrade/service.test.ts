import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Builds } from '../../support/builds.ts';
import { Counters } from '../../support/counter.ts';
import { endLeftovers, TestMachine } from '../../support/machine.ts';
import { UserManager, whyNoUserManager } from '../../support/user-manager.ts';

let folder: string;
let builds: Builds;
let newer: string;
let manager: UserManager;
let machine: TestMachine;
/** Its session. */
let counters: Counters;

describe.skipIf(whyNoUserManager())('a machine that systemd runs', { timeout: 240_000, tags: 'full' }, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'niia-builds-'));
    builds = new Builds(folder);
    newer = builds.make('9.0.0');
    manager = await UserManager.start(join(folder, 'account'));
    const home = join(folder, 'home');
    mkdirSync(home, { mode: 0o700 });
    machine = new TestMachine('served', home);
    machine.prefix = manager.prefix;
    Object.assign(machine.env, { HOME: manager.home, XDG_RUNTIME_DIR: '/run/user/0' });
    delete machine.env['XDG_CONFIG_HOME'];
    await machine.ok('up', '--direct', 'off', '--p2p', 'off', '--lan', 'off');
    await machine.ok('service', 'install');
    counters = new Counters(machine);
    await counters.start(1);
  }, 180_000);
  afterAll(async () => {
    await manager?.stop();
    if (machine) endLeftovers(machine.home);
    rmSync(folder, { recursive: true, force: true });
  });

  const running = async (): Promise<unknown[]> => {
    const status = await machine.json<{ version: string; pid: number }>('status');
    const service = await machine.json<{ running: boolean; pid: number }>('service', 'status');
    return [status['version'], service['running'], service['pid'] === status['pid']];
  };

  test('is upgraded with its sessions, and systemd looks after the new daemon', async () => {
    const bundle = builds.bundle(newer, folder, '--target', 'any');
    const outcome = await machine.json<{ from: string }>('upgrade', '--bundle', bundle);
    expect(outcome).toMatchObject({ to: '9.0.0', sessionsKept: 1, rolledBack: false });
    expect(await running()).toEqual(['9.0.0', true, true]);
    await counters.check();
  });

  test('has its version back where the new one is broken, with its sessions', async () => {
    const broken = builds.breakIt(newer, 'throws', {
      command: 'daemon',
      code: "throw new Error('broken on purpose');",
    });
    const failed = await machine.run(
      ['--json', 'upgrade', '--bundle', builds.bundle(broken, folder, '--target', 'any')],
      {
        timeoutMs: 150_000,
      },
    );
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout.toString())).toMatchObject({
      rolledBack: true,
      sessionsKept: 1,
      reason: expect.stringContaining('broken on purpose'),
    });
    expect(await running()).toEqual(['9.0.0', true, true]);
    await counters.check();
  });

  test('comes back with the version before, where all is killed while one that does not start is tried', {
    tags: 'full',
  }, async () => {
    const daemon = (): { pid: number; entry: string } =>
      JSON.parse(readFileSync(join(machine.home, 'daemon.json'), 'utf8'));
    const before = daemon();
    const hang = 'setInterval(() => undefined, 1000); await new Promise(() => undefined);';
    const broken = builds.breakIt(newer, 'hangs', { command: 'daemon', code: hang });
    machine.spawn(['upgrade', '--bundle', builds.bundle(broken, folder, '--target', 'any')]);
    const step = (): string => JSON.parse(readFileSync(join(machine.home, 'upgrade.json'), 'utf8')).step;
    await expect.poll(step, { timeout: 60_000, interval: 20 }).toBe('started');
    // As when the computer loses its power: no headless server is left to look after the daemon, only the service.
    const killed = endLeftovers(machine.home);
    for (const word of ['headless', 'upgrade-supervisor'])
      expect(killed).toEqual(expect.arrayContaining([expect.stringContaining(`niia.js ${word}`)]));
    await expect.poll(async () => (await machine.run(['status'])).code, { timeout: 30_000 }).toBe(0);
    expect(daemon()).toMatchObject({ entry: before.entry });
    expect(daemon().pid).not.toBe(before.pid);
    expect(await running()).toEqual(['9.0.0', true, true]);
    await expect.poll(step, { timeout: 120_000 }).toBe('rolled_back');
    expect(await running()).toEqual(['9.0.0', true, true]);
    expect(daemon()).toMatchObject({ entry: before.entry });
  });
});
