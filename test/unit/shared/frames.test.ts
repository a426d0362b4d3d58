import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NiiaError } from '../../../shared/errors.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import type { Encoded } from '../../../shared/rpc/frames.ts';
import { decode, encode } from '../../../shared/rpc/frames.ts';
import { inTier } from '../../support/tier.ts';

const runs = inTier(1_000, 1_000_000);

function joined({ head, body }: Encoded): Uint8Array {
  return Buffer.concat([head, body ?? new Uint8Array()]);
}

describe('frames', () => {
  it('come back as they were sent [RPC-2, RPC-3]', () => {
    fc.assert(
      fc.property(
        fc.nat(0xffffffff),
        fc.nat(limits.streams - 1),
        fc.uint8Array({ maxLength: 500 }),
        fc.jsonValue(),
        fc.boolean(),
        (call, stream, body, value, ours) => {
          const json: unknown = JSON.parse(JSON.stringify(value));
          expect(decode(joined(encode.json('event', ours, call, value)))).toEqual({
            type: 'event',
            mine: !ours,
            call,
            json,
          });
          const result = decode(joined(encode.withBody('result', ours, call, value, body)));
          expect(result).toMatchObject({ type: 'result', mine: !ours, call, json });
          expect(result.type === 'result' && Buffer.from(result.body).equals(body)).toBe(true);
          const data = decode(joined(encode.data(ours, call, stream, body)));
          expect(data).toMatchObject({ type: 'data', mine: !ours, call, stream });
          expect(decode(joined(encode.credit(ours, call, stream, call)))).toEqual({
            type: 'credit',
            mine: !ours,
            call,
            stream,
            granted: call,
          });
        },
      ),
    );
  });

  it('that are arbitrary bytes are refused with a code, never with a crash [RPC-2]', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(NiiaError);
        }
      }),
      { numRuns: runs },
    );
  });

  it('over the limits are refused before they are sent [RPC-4]', () => {
    expect(() => encode.json('event', true, 1, 'x'.repeat(limits.header))).toThrow(/over the limit/);
    expect(() => encode.withBody('request', true, 1, {}, new Uint8Array(limits.body + 1))).toThrow(/over the limit/);
  });
});
