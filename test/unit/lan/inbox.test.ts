import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DataFrame } from '../../../daemon/lan/frames.ts';
import { decodeFrame, encodeFrame, haveAll, longestPart, mostParts } from '../../../daemon/lan/frames.ts';
import { Inbox } from '../../../daemon/lan/inbox.ts';
import { longestJson, readMessage } from '../../../daemon/lan/message.ts';
import { inTier } from '../../support/tier.ts';

const runs = inTier(1_000, 100_000);
const fuzzed = { timeout: 20_000 + runs };
const tag = 7n;

const data = (more: Partial<DataFrame>): DataFrame => ({
  type: 'data',
  session: 1n,
  cookie: 0n,
  message: 0,
  index: 0,
  count: 1,
  deflated: false,
  part: Buffer.from('"x"'),
  ...more,
});

describe('frames', () => {
  it('of any bytes are decoded or refused, and what is decoded encodes to the same bytes', fuzzed, () => {
    const looksLikeOne = fc
      .tuple(fc.integer({ min: 0, max: 5 }), fc.uint8Array({ minLength: 14, maxLength: 40 }))
      .map(([type, rest]) => Buffer.from([type, ...rest]));
    fc.assert(
      fc.property(fc.oneof(looksLikeOne, fc.uint8Array().map(Buffer.from)), (bytes) => {
        const frame = decodeFrame(bytes);
        if (frame && frame.type !== 'hello') expect(encodeFrame(frame)).toEqual(bytes);
      }),
      { numRuns: runs },
    );
  });

  it('a hello is as long as its answer, and an ack shorter than the data [LAN-4]', () => {
    const hello = encodeFrame({ type: 'hello', session: 1n, challenge: 2n });
    const cookie = encodeFrame({ type: 'cookie', session: 1n, challenge: 2n, cookie: 3n });
    const ack = encodeFrame({ type: 'ack', session: 1n, message: 0, have: 0 });
    expect(cookie.length).toBeLessThanOrEqual(hello.length);
    expect(ack.length).toBeLessThan(encodeFrame(data({ part: Buffer.from('1') })).length);
  });
});

describe('the inbox', () => {
  it('takes data with a present cookie of their own session, and none else [LAN-5]', () => {
    const inbox = new Inbox();
    const cookie = inbox.cookie(tag, 1n, 0);
    expect(inbox.take(tag, data({ cookie }), 0)?.message).toEqual({ value: 'x' });
    expect(inbox.take(tag, data({ cookie, session: 2n }), 0)).toBeUndefined();
    expect(inbox.take(8n, data({ cookie }), 0)).toBeUndefined();
    expect(inbox.take(tag, data({ cookie: cookie ^ 1n, message: 1 }), 0)).toBeUndefined();
    expect(inbox.take(tag, data({ cookie, message: 1 }), 119_999)?.message).toBeDefined();
    expect(inbox.take(tag, data({ cookie, message: 2 }), 240_000)).toBeUndefined();
    expect(new Inbox().take(tag, data({ cookie }), 0)).toBeUndefined();
  });

  it('never acknowledges as delivered what it has forgotten whether it was', () => {
    const inbox = new Inbox();
    const cookie = inbox.cookie(tag, 1n, 0);
    for (let message = 1; message <= 300; message++) inbox.take(tag, data({ cookie, message }), 0);
    expect(inbox.take(tag, data({ cookie, message: 0 }), 0)).toBeUndefined();
    expect(inbox.take(tag, data({ cookie, message: 299 }), 0)).toMatchObject({
      repeated: true,
      ack: { have: haveAll },
    });
  });

  it('keeps a bounded number of sessions and unfinished messages, whatever members send [LAN-8]', () => {
    const inbox = new Inbox();
    for (let session = 0n; session < 3_000n; session++) {
      const cookie = inbox.cookie(session % 40n, session, 0);
      for (let message = 0; message < 12; message++) {
        const part = Buffer.alloc(longestPart);
        inbox.take(session % 40n, data({ session, cookie, message, count: mostParts, part }), 0);
      }
    }
    expect(inbox.kept.sessions).toBeLessThanOrEqual(1_024);
    expect(inbox.kept.partialMessages).toBeLessThanOrEqual(128);
    // Time clears it all for newcomers.
    const later = 1_000_000;
    const cookie = inbox.cookie(tag, 1n, later);
    expect(inbox.take(tag, data({ cookie }), later)?.message).toEqual({ value: 'x' });
    expect(inbox.kept).toEqual({ sessions: 1, partialMessages: 0 });
  });

  it('takes no more from a deflated message than a signal may have [LAN-7]', fuzzed, async () => {
    const { deflateRawSync } = await import('node:zlib');
    const bomb = deflateRawSync(Buffer.from(JSON.stringify('x'.repeat(longestJson))));
    expect(bomb.length).toBeLessThan(longestPart);
    expect(readMessage(bomb, true)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array(), fc.boolean(), (bytes, deflated) => {
        readMessage(Buffer.from(bytes), deflated);
      }),
      { numRuns: runs },
    );
  });
});
