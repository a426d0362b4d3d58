import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Outcome, TestMachine, withTeam } from '../support/machine.ts';

interface Diagnosis {
  checks: Array<{ name: string; status: string; found: string; mend: string | null }>;
  ok: boolean;
}

async function diagnose(machine: TestMachine, env: NodeJS.ProcessEnv = {}, ...words: string[]) {
  const outcome: Outcome = await machine.run(['doctor', '--json', ...words], { env });
  const { checks, ok } = JSON.parse(outcome.stdout.toString()) as Diagnosis;
  const of = (name: string) => checks.find((check) => check.name === name);
  return { code: outcome.code, ok, checks, of };
}

describe('niia doctor', { timeout: 180_000 }, () => {
  it('finds a machine well, here and from another one, and says what is wrong when something is', async () => {
    await withTeam(
      ['alice', 'bob'],
      async (alice, bob) => {
        const well = await diagnose(bob);
        expect(well.checks.filter((check) => check.status === 'fail')).toEqual([]);
        expect(well).toMatchObject({ code: 0, ok: true });
        expect(well.of('daemon')).toMatchObject({ status: 'pass' });
        expect(well.of('gateway')).toMatchObject({ status: 'pass', found: expect.stringContaining('connected') });
        expect(well.of('native')).toMatchObject({ status: 'pass' });
        expect(well.of('links')).toMatchObject({ status: 'pass' });
        expect((await diagnose(bob, {}, '--machine', 'alice')).of('home')?.found).toContain(alice.home);

        // The gateway dies; nobody but the doctor says so.
        await alice.ok('down');
        chmodSync(join(bob.home, 'identity.json'), 0o644);
        process.kill(bob.daemonPid, 'SIGSTOP');
        const ill = await diagnose(bob, { HTTPS_PROXY: 'http://me:hunter2@127.0.0.1:9' });
        process.kill(bob.daemonPid, 'SIGCONT');
        expect(ill).toMatchObject({ code: 1, ok: false });
        expect(ill.of('permissions')).toMatchObject({
          status: 'fail',
          mend: expect.stringMatching(/^chmod go= .*identity/),
        });
        expect(ill.of('daemon')).toMatchObject({ status: 'fail', mend: expect.stringMatching(/^kill \d+; niia up/) });
        expect(ill.of('gateway')).toMatchObject({ status: 'fail', found: expect.stringContaining('nothing listens') });
        expect(JSON.stringify(ill.checks)).not.toContain('hunter2');
        chmodSync(join(bob.home, 'identity.json'), 0o600);

        await bob.killDaemon();
        const killed = await diagnose(bob);
        expect(killed.of('daemon')).toMatchObject({ status: 'warn', found: expect.stringContaining('left') });
      },
      { roles: { bob: 'admin' } },
    );
  });

  it('sends out no secret in a bundle, wherever it was planted, and nothing of a session', async () => {
    await withTeam(['alice'], async (alice) => {
      await alice.ok(
        'new',
        '--name',
        'main',
        '--env',
        'SESSION_TOKEN=planted-env',
        '--',
        'sh',
        '-c',
        'echo planted-output; sleep 600',
      );
      await alice.ok('wait', '--session', 'main', '--match', 'planted-output');
      const code = await alice.ok('invite');
      const at = (...path: string[]): string => readFileSync(join(alice.home, ...path), 'utf8');
      const identity = JSON.parse(at('identity.json')) as Record<'sign' | 'noise', { secretKey: string }>;
      const tickets = JSON.parse(at('team', 'tickets.json')) as { tickets: Array<{ key: string; lanKey: string }> };
      // Only a gateway on its own makes one.
      const admission = randomBytes(16).toString('base64url');
      writeFileSync(join(alice.home, 'gateway', 'admission'), admission);
      const privateKey = /-----BEGIN PRIVATE KEY-----\n([\w+/=]+)/.exec(at('gateway', 'certificate.pem'))?.[1];
      const config = JSON.parse(at('config.json')) as object;
      const gateway = { urls: ['wss://127.0.0.1:1'], fingerprint: null, admit: 'planted-admit' };
      writeFileSync(join(alice.home, 'config.json'), JSON.stringify({ ...config, gateway }));
      const secrets = [
        ...[identity.sign.secretKey, identity.noise.secretKey, tickets.tickets[0]?.key, tickets.tickets[0]?.lanKey],
        ...[code, admission, privateKey, 'planted-admit', 'planted-env', 'planted-turn', 'planted-output'],
      ].map((secret) => secret ?? 'a secret is missing');
      expect(secrets).not.toContain('a secret is missing');
      const planted = secrets.filter((secret) => secret !== 'planted-output' && secret !== privateKey);
      appendFileSync(
        join(alice.home, 'daemon.log'),
        `${planted.map((secret) => `debug x: (${secret}) #${secret}`).join('\n')}\n`,
      );
      appendFileSync(join(alice.home, 'daemon.log'), at('gateway', 'certificate.pem'));

      const file = join(alice.home, 'support.tgz');
      const env = { NIIA_TURN_SECRET: 'planted-turn', SESSION_TOKEN: 'planted-env' };
      await alice.run(['doctor', '--bundle', file], { env });
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const names = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' }).trim().split('\n');
      expect(names).toEqual(expect.arrayContaining(['niia-support/doctor.json', 'niia-support/logs/daemon.log']));
      const all = execFileSync('tar', ['-xzOf', file], { encoding: 'utf8' });
      for (const secret of secrets) expect(all).not.toContain(secret);
      // It is of use all the same.
      expect(all).toContain('daemon up');
      expect(all).toContain('"name": "alice"');
    });
  });

  it.skipIf(process.getuid?.() !== 0)('finds a full disk, and never hangs on it', async () => {
    const machine = new TestMachine('full', '/tmp');
    // A home of 64 KiB in a mount namespace that ends with the command.
    const fill = 'mount -t tmpfs -o size=64k,mode=700 tmpfs /mnt && cat /dev/zero > /mnt/full; exec "$@"';
    machine.prefix = ['unshare', '--mount', 'sh', '-c', fill, 'sh'];
    const { code, of } = await diagnose(machine, { NIIA_HOME: '/mnt' });
    expect(code).toBe(1);
    expect(of('disk')).toMatchObject({ status: 'fail', found: expect.stringContaining('ENOSPC') });
  });

  it('refuses a bundle of another machine, and one that cannot be written', async () => {
    await withTeam(['alice'], async (alice) => {
      const other = await alice.run(['doctor', '--machine', 'alice', '--bundle', 'x.tgz']);
      expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('this machine only') });
      const { code, stderr } = await alice.run(['doctor', '--bundle', join(alice.home, 'no', 'such.tgz')]);
      expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('could not be written') });
    });
  });
});
