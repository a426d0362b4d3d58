import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { endLeftovers, TestMachine, withTeam } from '../support/machine.ts';

/** A machine that is not in the team yet, beside `of`. */
async function withGuest(of: TestMachine, name: string, body: (guest: TestMachine) => Promise<void>): Promise<void> {
  const home = join(of.home, '..', `guest-${name}`);
  mkdirSync(home, { mode: 0o700 });
  const guest = new TestMachine(name, home);
  try {
    await body(guest);
  } finally {
    await guest.run(['down', '--sessions']);
    endLeftovers(home);
  }
}

function error(stderr: string): unknown {
  return (JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as { error: unknown }).error;
}

describe('an invite', () => {
  it('stands alone on stdout and lets exactly one machine in', async () => {
    await withTeam(['A'], async (a) => {
      const { stdout, stderr } = await a.run(['invite']);
      expect(stdout.toString()).toMatch(/^niia1-[A-Za-z0-9_-]+\n$/);
      expect(stderr).toContain('niia join');
      const code = stdout.toString().trim();
      await withGuest(a, 'B', async (b) => {
        expect(await b.json('join', code)).toMatchObject({ role: 'operator', machine: { name: 'B' } });
        await withGuest(a, 'C', async (c) => {
          const used = await c.run(['join', code, '--json']);
          expect([used.code, error(used.stderr)]).toMatchObject([10, { code: 'code_used' }]);
        });
        expect((await a.run(['remote', 'ask', 'B', 'true'])).code).toBe(0);
      });
    });
  });

  it('that expired is refused', { tags: 'full' }, async () => {
    await withTeam(['A'], async (a) => {
      const code = await a.ok('invite', '--expires', '1s');
      await new Promise((resolve) => setTimeout(resolve, 2_100));
      await withGuest(a, 'B', async (b) => {
        const late = await b.run(['join', code, '--json']);
        expect([late.code, error(late.stderr)]).toMatchObject([10, { code: 'code_expired' }]);
      });
    });
  });

  it('that was altered or guessed reaches nobody, and the true one still works', async () => {
    await withTeam(['A'], async (a) => {
      const code = await a.ok('invite');
      await withGuest(a, 'B', async (b) => {
        for (const wrong of [
          'nonsense',
          'niia1-AAAA',
          code.slice(0, -1),
          `${code.slice(0, 40)}${code[40] === 'A' ? 'B' : 'A'}${code.slice(41)}`,
        ]) {
          const { code: exit, stderr } = await b.run(['join', wrong, '--json']);
          expect([exit, error(stderr)]).toMatchObject([2, { code: 'bad_code' }]);
        }
        expect((await a.json<{ members: unknown[] }>('team', 'show')).members).toHaveLength(1);
        await b.ok('join', code);
      });
    });
  });

  it('does not take a name twice when it was chosen, and finds another when it was not', { tags: 'full' }, async () => {
    await withTeam(['A'], async (a) => {
      const code = await a.ok('invite');
      await withGuest(a, 'A', async (b) => {
        const taken = await b.run(['join', code, '--name', 'A', '--json']);
        expect([taken.code, error(taken.stderr)]).toMatchObject([1, { code: 'name_taken' }]);
        expect(await b.json('join', code)).toMatchObject({ machine: { name: 'A-2' } });
      });
    });
  });

  it('is not needed twice: a member of a larger team leaves it only on purpose', { tags: 'full' }, async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      await withGuest(a, 'C', async (c) => {
        await c.ok('up');
        const code = await c.ok('invite', '--role', 'admin');
        expect((await b.run(['join', code])).code).toBe(1);
        expect(await b.json('join', code, '--leave')).toMatchObject({ role: 'admin' });
        expect((await c.run(['remote', 'ask', 'B', 'true'])).code).toBe(0);
        await expect
          .poll(async () => (await a.json<{ members: unknown[] }>('team', 'show')).members.length, { timeout: 10_000 })
          .toBe(1);
        await b.ok('team', 'create', 'alone', '--leave');
      });
    });
  });
});

describe('a gateway of its own', () => {
  it('admits a team by its URL, serves health and metrics, drains on SIGTERM', async () => {
    await withTeam(['HOST'], async (host) => {
      const gateway = host.spawn(['gateway', '--listen', '127.0.0.1:0', '--state', join(host.home, 'gw')]);
      const url = await new Promise<string>((resolve, reject) => {
        let text = '';
        gateway.stdout?.setEncoding('utf8').on('data', (part: string) => {
          text += part;
          if (text.includes('\n')) resolve(text.trim());
        });
        gateway.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
      });
      expect(url).toMatch(/^wss:\/\/127\.0\.0\.1:\d+\/#\S+$/);
      const at = (path: string): string =>
        `curl -sk -o /dev/null -w '%{http_code}' https://${new URL(url).host}${path}`;
      await withGuest(host, 'A', async (a) => {
        await a.ok('up', '--gateway', url);
        await expect
          .poll(async () => (await a.json<{ gateway: { state: string } }>('status')).gateway.state)
          .toBe('connected');
        const code = await a.ok('invite');
        await withGuest(host, 'B', async (b) => {
          await b.ok('join', code);
          expect((await a.run(['remote', 'ask', 'B', 'echo over the relay'])).stdout.toString()).toBe(
            'over the relay\n',
          );
          expect((await host.run(['ask', at('/healthz')])).stdout.toString()).toBe('200');
          expect((await host.run(['ask', at('/readyz')])).stdout.toString()).toBe('200');
          expect((await host.run(['ask', `curl -sk https://${new URL(url).host}/metrics`])).stdout.toString()).toMatch(
            /^niia_gateway_\w+/m,
          );
          const ended = new Promise((resolve) => gateway.once('exit', resolve));
          gateway.kill('SIGTERM');
          expect(await ended).toBe(0);
          // The machines have moved to other paths.
          const { machines } = await a.json<{ machines: Array<{ online: boolean; path: string }> }>(
            'remote',
            'status',
            'list',
          );
          expect(machines[1]).toMatchObject({ online: true, path: expect.stringMatching(/direct|p2p/) });
          expect((await a.run(['remote', 'ask', 'B', 'echo without it'])).stdout.toString()).toBe('without it\n');
        });
      });
    });
  });
});
