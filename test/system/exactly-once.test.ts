import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TestGateway } from '../support/gateway.ts';
import { type TestMachine, withTeam } from '../support/machine.ts';

async function withGatewayTeam(
  body: (a: TestMachine, b: TestMachine, gateway: TestGateway) => Promise<void>,
): Promise<void> {
  await withTeam(['A', 'B'], async (a, b) => {
    const gateway = new TestGateway(a);
    await gateway.start();
    try {
      for (const machine of [a, b]) await machine.ok('config', 'set', 'gateway', gateway.url);
      await expect.poll(async () => (await a.run(['remote', 'ask', 'B', 'true'])).code, { timeout: 20_000 }).toBe(0);
      await body(a, b, gateway);
    } finally {
      await gateway.kill();
    }
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('through a gateway that is killed and started again in mid-stream', () => {
  it('ten megabytes of numbered output arrive whole and in order', async () => {
    await withGatewayTeam(async (a, _b, gateway) => {
      const lines = 1_000_000;
      const numbers = `${Array.from({ length: lines }, (_, i) => i + 1).join('\r\n')}\r\n`;
      // The shell prints in bursts, so that the stream is still going when the gateway goes.
      const script = `for i in 0 1 2 3 4 5 6 7 8 9; do seq $((i * ${lines / 10} + 1)) $(((i + 1) * ${lines / 10})); sleep 0.4; done`;
      await a.ok('remote', 'new', 'B', '--name', 'numbers', '--', 'bash', '-c', `sleep 1; ${script}`);
      const reader = a.run(['remote', 'read', 'B', '--session', 'numbers', '--raw', '--since', '0', '--follow'], {
        timeoutMs: 80_000,
      });
      for (let round = 0; round < 3; round++) {
        await pause(1_200);
        await gateway.kill();
        await gateway.start();
      }
      const { stdout, code } = await reader;
      expect(code).toBe(0);
      expect(stdout.length).toBe(numbers.length);
      expect(createHash('sha256').update(stdout).digest('hex')).toBe(
        createHash('sha256').update(numbers).digest('hex'),
      );
    });
  });

  it('a thousand writes during ten reconnects are typed once each', async () => {
    await withGatewayTeam(async (a, b, gateway) => {
      await a.ok(
        'remote',
        'new',
        'B',
        '--name',
        'typed',
        '--cwd',
        b.home,
        '--',
        'bash',
        '-c',
        'stty raw -echo; cat > typed.txt',
      );
      await a.ok('remote', 'ask', 'B', `until [ -e ${b.home}/typed.txt ]; do sleep 0.05; done`);
      const writes = process.env['NIIA_TEST_FULL'] ? 1_000 : 200;
      const reconnects = 10;
      let next = 0;
      let typedSoFar = 0;
      const failures: string[] = [];
      const writer = async (): Promise<void> => {
        while (next < writes) {
          const n = next++;
          const { code, stderr } = await a.run(['remote', 'write', 'B', '--session', 'typed', `<${n}>`]);
          if (code !== 0) failures.push(`${n}: ${code} ${stderr}`);
          typedSoFar++;
        }
      };
      const chaos = async (): Promise<void> => {
        for (let round = 1; round <= reconnects; round++) {
          // Each round some writes get through, and some are under way when the gateway goes.
          await expect
            .poll(() => typedSoFar, { timeout: 60_000, interval: 10 })
            .toBeGreaterThan(((round - 1) * writes) / (reconnects + 1));
          await gateway.kill();
          await gateway.start();
        }
      };
      await Promise.all([chaos(), ...Array.from({ length: 8 }, writer)]);
      expect(failures).toEqual([]);
      await expect
        .poll(
          async () =>
            (await a.run(['remote', 'ask', 'B', '--cwd', b.home, 'cat typed.txt'])).stdout.toString().match(/<\d+>/g)
              ?.length,
          { timeout: 20_000 },
        )
        .toBe(writes);
      const typed = (await b.run(['ask', 'cat typed.txt'])).stdout.toString().match(/\d+/g)?.map(Number);
      expect(typed?.sort((x, y) => x - y)).toEqual(Array.from({ length: writes }, (_, i) => i));
    });
  }, 180_000);
});

describe('a daemon killed at random points', () => {
  it('costs a follower no byte and a writer no key', async () => {
    await withTeam(['A'], async (a) => {
      await a.ok(
        'new',
        '--name',
        'numbers',
        '--',
        'bash',
        '-c',
        'for i in $(seq 1 3000); do echo line $i; [ $((i % 100)) = 0 ] && sleep 0.1; done; read -r _',
      );
      const follower = a.run(['read', '--session', 'numbers', '--raw', '--since', '0', '--follow'], {
        timeoutMs: 60_000,
      });
      await a.ok('wait', '--session', 'numbers', '--match', 'line 200', '--timeout', '20');
      for (let round = 0; round < 5; round++) {
        await pause(200 + 97 * round);
        await a.killDaemon();
        await a.ok('up');
      }
      await a.ok('wait', '--session', 'numbers', '--match', 'line 3000', '--timeout', '20');
      await a.ok('write', '--session', 'numbers', '\r');
      const { stdout, code } = await follower;
      expect(code).toBe(0);
      const expected = `${Array.from({ length: 3000 }, (_, i) => `line ${i + 1}`).join('\r\n')}\r\n`;
      expect(stdout.toString().slice(0, expected.length)).toBe(expected);
    });
  });
});
