import { describe, expect, it } from 'vitest';
import { AddressQuota, AddressRate, addressKey } from '../../../daemon/gateway/rate-limit.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';

describe('a token bucket', () => {
  it('lets a burst through, then the rate', () => {
    const bucket = new TokenBucket(10, 5, 0);
    expect(Array.from({ length: 6 }, () => bucket.take(1, 0))).toEqual([true, true, true, true, true, false]);
    expect(bucket.take(1, 99)).toBe(false);
    expect(bucket.take(1, 100)).toBe(true);
    expect(bucket.take(6, 1e9)).toBe(false);
    expect(bucket.take(5, 1e9)).toBe(true);
  });
});

describe('a rate', () => {
  it('is counted for each address, and forgotten in time', () => {
    const limit = new AddressRate(2 / 60, 2);
    limit.take('192.0.2.1', 0);
    expect(limit.spent('192.0.2.1', 0)).toBe(false);
    limit.take('192.0.2.1', 0);
    expect(limit.spent('192.0.2.1', 0)).toBe(true);
    expect(limit.spent('192.0.2.2', 0)).toBe(false);
    expect(limit.spent('192.0.2.1', 30_000)).toBe(false);
    limit.sweep(120_000);
    expect(limit.spent('192.0.2.1', 120_000)).toBe(false);
  });
});

describe('a quota', () => {
  it('holds for each address and in all, and a place that is given back twice counts once', () => {
    const quota = new AddressQuota(2, 3);
    const first = quota.take('192.0.2.1');
    expect(quota.take('::ffff:192.0.2.1')).toBeDefined();
    expect(quota.take('192.0.2.1')).toBeUndefined();
    expect(quota.take('192.0.2.2')).toBeDefined();
    expect(quota.take('192.0.2.3')).toBeUndefined();
    first?.();
    first?.();
    expect(quota.total).toBe(2);
    expect(quota.take('192.0.2.3')).toBeDefined();
  });
});

describe('an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
  ])('%s counts as %s', (address, key) => expect(addressKey(address)).toBe(key));
});
