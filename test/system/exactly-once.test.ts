import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withGatewayTeam } from '../support/gateway.ts';
import { withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';
import { inTier } from '../support/tier.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('through a gateway that is killed and started again in mid-stream', () => {
  const team = forAllTests(withGatewayTeam);

  it('megabytes of numbered output arrive whole and in order', async () => {
    const { a, b, gateway } = team();
    const lines = inTier(500_000, 1_000_000);
    const rounds = 3;
    const part = lines / (rounds + 1);
    const numbers = `${Array.from({ length: lines }, (_, i) => i + 1).join('\r\n')}\r\n`;
    // The shell prints a part whenever it is told to, so that the stream is still going when the gateway goes.
    const go = (round: number): string => join(b.home, `go-${round}`);
    const gate = `until [ -e ${b.home}/go-$i ]; do sleep 0.02; done`;
    const script = `for i in 0 1 2 3; do ${gate}; seq $((i * ${part} + 1)) $(((i + 1) * ${part})); done`;
    await a.ok('remote', 'new', 'B', '--name', 'numbers', '--', 'bash', '-c', script);
    const reader = a.spawn(['remote', 'read', 'B', '--session', 'numbers', '--raw', '--since', '0', '--follow']);
    const ended = once(reader, 'close');
    const read: Buffer[] = [];
    let length = 0;
    reader.stdout?.on('data', (bytes: Buffer) => {
      read.push(bytes);
      length += bytes.length;
    });
    for (let round = 0; round < rounds; round++) {
      const before = length;
      writeFileSync(go(round), '');
      await expect.poll(() => length, { timeout: 30_000, interval: 1 }).toBeGreaterThan(before);
      await gateway.kill();
      await gateway.start();
    }
    writeFileSync(go(rounds), '');
    expect(await ended).toEqual([0, null]);
    expect(length).toBe(numbers.length);
    expect(sha(Buffer.concat(read))).toBe(sha(numbers));
  });

  const writes = inTier(32, 1_000);
  const reconnects = inTier(3, 10);
  it(`${writes} writes during ${reconnects} reconnects are typed once each`, async () => {
    const { a, b, gateway } = team();
    const script = 'stty raw -echo; cat > typed.txt';
    await a.ok('remote', 'new', 'B', '--name', 'typed', '--cwd', b.home, '--', 'bash', '-c', script);
    await a.ok('remote', 'ask', 'B', `until [ -e ${b.home}/typed.txt ]; do sleep 0.05; done`);
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
    const typed = (): string[] => readFileSync(join(b.home, 'typed.txt'), 'utf8').match(/<\d+>/g) ?? [];
    await expect.poll(() => typed().length, { timeout: 20_000 }).toBe(writes);
    expect(typed().sort()).toEqual(Array.from({ length: writes }, (_, i) => `<${i}>`).sort());
  }, 180_000);
});

function sha(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex');
}

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
      for (let round = 0; round < inTier(2, 5); round++) {
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
