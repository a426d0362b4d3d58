import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TestGateway } from '../support/gateway.ts';
import { type TestMachine, withTeam } from '../support/machine.ts';
import { webRtcHelpers } from '../support/processes.ts';
import { EchoStream } from '../support/stream.ts';

interface Report {
  path: string | null;
  state: string;
  rttMs: number | null;
  candidates: Array<{ kind: string; state: string; note: string }>;
  counts: { switches: number; resent: number; forged: number } | null;
}

const report = (from: TestMachine, to: TestMachine): Promise<Report> => from.json<Report>('remote', 'path', to.name);

async function reaches(from: TestMachine, to: TestMachine, path: string | null): Promise<void> {
  await expect.poll(async () => (await report(from, to)).path, { timeout: 20_000 }).toBe(path);
}

async function works(from: TestMachine, to: TestMachine, kind: string): Promise<void> {
  const state = async (): Promise<string | undefined> =>
    (await report(from, to)).candidates.find((candidate) => candidate.kind === kind)?.state;
  await expect.poll(state, { timeout: 20_000 }).toMatch(/active|standby/);
}

/** Two machines with a gateway of its own and every kind of path between them, and a stream of lines both ways. */
async function withStream(
  pin: string,
  body: (a: TestMachine, b: TestMachine, gateway: TestGateway, stream: EchoStream) => Promise<void>,
): Promise<void> {
  await withTeam(
    ['A', 'B'],
    async (a, b) => {
      const gateway = new TestGateway(a);
      await gateway.start();
      const stream = new EchoStream(a, b);
      try {
        for (const machine of [a, b]) await machine.ok('config', 'set', 'gateway', gateway.url);
        for (const kind of ['direct', 'p2p', 'gateway']) await works(a, b, kind);
        await a.ok('remote', 'path', 'B', '--pin', pin);
        await reaches(a, b, pin);
        await reaches(b, a, pin);
        await stream.start();
        await body(a, b, gateway, stream);
      } finally {
        stream.stop();
        await gateway.kill();
      }
    },
    { paths: 'all' },
  );
}

/** Room for a loaded machine; the figures themselves are the bench's. */
const soon = 1_500;
const silent = 2_000 + soon;

describe('a stream over P2P', () => {
  it('does not notice that the gateway is killed, frozen and started again', { tags: 'full' }, async () => {
    await withStream('p2p', async (a, b, gateway, stream) => {
      const gap = await stream.longestGap(async () => {
        await gateway.kill();
        await stream.received(400);
        await gateway.start();
        await works(a, b, 'gateway');
        gateway.signal('SIGSTOP');
        await stream.received(400);
        gateway.signal('SIGCONT');
        await stream.received(200);
      });
      expect(gap).toBeLessThan(soon);
      expect(await stream.finish()).toBeGreaterThan(1_000);
      await reaches(a, b, 'p2p');
    });
  });

  it('moves to another path at once when it breaks, within two seconds when it falls silent, and back [LINK-37]', async () => {
    await withStream('p2p', async (a, b, _gateway, stream) => {
      const [helper] = webRtcHelpers(b);
      expect(helper).toBeDefined();
      const frozen = await stream.longestGap(async () => {
        process.kill(helper as number, 'SIGSTOP');
        await stream.received(400);
      });
      expect(frozen).toBeLessThan(silent);
      expect((await report(a, b)).path).not.toBe('p2p');
      process.kill(helper as number, 'SIGCONT');
      await reaches(a, b, 'p2p');
      const killed = await stream.longestGap(async () => {
        process.kill(helper as number, 'SIGKILL');
        await stream.received(400);
      });
      expect(killed).toBeLessThan(soon);
      // The daemons live on, and make a new one.
      await reaches(a, b, 'p2p');
      await stream.finish();
    });
  });
});

describe('a stream over the gateway', () => {
  it('goes on over another path when the gateway is killed or frozen, and comes back to it', {
    tags: 'full',
  }, async () => {
    await withStream('gateway', async (a, b, gateway, stream) => {
      const killed = await stream.longestGap(async () => {
        await gateway.kill();
        await stream.received(200);
      });
      expect(killed).toBeLessThan(soon);
      expect((await report(a, b)).path).toBe('direct');
      await gateway.start();
      await reaches(a, b, 'gateway');
      const frozen = await stream.longestGap(async () => {
        gateway.signal('SIGSTOP');
        await stream.received(200);
      });
      expect(frozen).toBeLessThan(silent);
      gateway.signal('SIGCONT');
      await reaches(a, b, 'gateway');
      await stream.finish();
    });
  });
});

describe('without any gateway', { tags: 'full' }, () => {
  it('restarted daemons find each other again, by the address where the other was last', async () => {
    await withTeam(
      ['A', 'B'],
      async (a, b) => {
        const gateway = new TestGateway(a);
        await gateway.start();
        for (const machine of [a, b]) await machine.ok('config', 'set', 'gateway', gateway.url);
        for (const machine of [a, b]) for (const way of ['p2p', 'lan']) await machine.ok('config', 'set', way, 'off');
        await works(a, b, 'direct');
        await gateway.kill();
        for (const machine of [a, b]) await machine.ok('down');
        for (const machine of [a, b]) await machine.ok('up');
        expect(await a.ok('remote', 'ask', 'B', 'echo there')).toBe('there');
        const { path, candidates } = await report(a, b);
        expect([path, candidates.map(({ kind, state }) => `${kind} ${state}`)]).toEqual([
          'direct',
          ['direct active', 'p2p off'],
        ]);
      },
      { paths: 'all' },
    );
  });

  it('a machine is found at an address that a person gave', async () => {
    await withTeam(
      ['A', 'B'],
      async (a, b) => {
        for (const machine of [a, b])
          for (const way of ['p2p', 'lan', 'direct']) await machine.ok('config', 'set', way, 'off');
        for (const machine of [a, b]) {
          await machine.ok('down');
          rmSync(join(machine.home, 'addresses.json'));
        }
        await b.ok('up', '--gateway', 'embedded', '--direct', 'on');
        const { gateway } = await b.json<{ gateway: { url: string } }>('status');
        await a.ok('up', '--direct', 'on');
        expect((await a.run(['remote', 'ask', 'B', 'true', '--timeout', '3'])).code).not.toBe(0);
        const { addresses } = await a.json<{ addresses: unknown[] }>(
          'machine',
          'add-address',
          'B',
          new URL(gateway.url).host,
        );
        expect(addresses).toMatchObject([{ url: gateway.url, source: 'given' }]);
        expect(await a.ok('remote', 'ask', 'B', 'echo there')).toBe('there');
        await reaches(a, b, 'direct');
        expect((await a.run(['machine', 'add-address', 'B', 'not an address'])).code).toBe(2);
        await a.ok('machine', 'remove-address', 'B', new URL(gateway.url).host);
        expect((await a.run(['machine', 'remove-address', 'B', new URL(gateway.url).host])).code).toBe(2);
      },
      { paths: 'all' },
    );
  });
});

describe('offers carried over a neighbour', () => {
  it('make a P2P path between two machines that only a third one can reach', { tags: 'full' }, async () => {
    await withTeam(
      ['A', 'B', 'C'],
      async (a, b, c) => {
        // From now on each has a gateway of its own, and B and C know where A is and nothing of each other.
        const { gateway } = await a.json<{ gateway: { url: string } }>('status');
        for (const machine of [a, b, c]) await machine.ok('config', 'set', 'lan', 'off');
        for (const machine of [b, c]) {
          await machine.ok('down');
          rmSync(join(machine.home, 'addresses.json'));
          await machine.ok('up', '--gateway', 'embedded');
          await machine.ok('machine', 'add-address', 'A', new URL(gateway.url).host);
        }
        await reaches(b, a, 'direct');
        await reaches(c, a, 'direct');
        await works(b, c, 'p2p');
        expect((await report(b, c)).candidates.find(({ kind }) => kind === 'gateway')).toBeUndefined();
      },
      { paths: 'all' },
    );
  });
});
