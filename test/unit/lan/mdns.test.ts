import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Mdns } from '../../../daemon/lan/mdns.ts';
import { localSegments } from '../../../daemon/lan/segments.ts';
import { inTier } from '../../support/tier.ts';
import { announcement, anyPacket } from './packets.ts';
import { closing } from './stage.ts';

const runs = inTier(1_000, 1_000_000);
const plenty = { perSecond: 1_000_000_000, burst: 1_000_000_000 };

it('any packets at all are survived in bounded memory [LAN-10]', { timeout: 20_000 + runs }, async () => {
  const [segment] = localSegments();
  const found: string[] = [];
  const tell = ({ hash }: { hash: string }): void => {
    if (found.length < 10) found.push(hash);
  };
  const mdns = closing(
    await Mdns.open({
      segment: segment!,
      publish: undefined,
      found: tell,
      gone: tell,
      limits: { perSource: plenty, inAll: plenty },
    }),
  );
  const from = { address: segment!.address, port: 5353, family: 'IPv4' as const, size: 0 };
  let most = 0;
  fc.assert(
    fc.property(anyPacket, (packet) => {
      mdns.receive(packet, from);
      most = Math.max(most, mdns.kept);
    }),
    { numRuns: runs },
  );
  expect(most).toBeGreaterThan(100);
  expect(most).toBeLessThanOrEqual(256);
  expect(mdns.counts.faults).toBe(0);
  mdns.ask();
  found.length = 0;
  mdns.receive(announcement({ instance: 'honest', hash: 'f'.repeat(32), port: 9 }), from);
  expect(found).toContain('f'.repeat(32));
});
