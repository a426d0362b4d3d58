import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Control,
  encodeControl,
  initiateFrame,
  parseControl,
  parseFrame,
  parseJson,
  putTag,
  respondFrame,
  restartFrame,
  sealedHead,
} from '../../daemon/mesh/link-frames.ts';
import { encodeMessage, type LinkMessage, parseMessage } from '../../daemon/mesh/link-messages.ts';
import { NiiaError } from '../../shared/errors.ts';
import { fuzz, must } from './support/fuzz.ts';
import { hostileBytes } from './support/hostile-bytes.ts';
import { hostileJsonBytes } from './support/hostile-json.ts';

const bytes = (length: number, fill = 7): Uint8Array => new Uint8Array(length).fill(fill);

function sealed(type: 'control' | 'data', more = false, internal = false): Uint8Array {
  const { head } = sealedHead(type, 0x12345678, 3, { more, internal });
  putTag(head, bytes(16));
  return Buffer.concat([head, bytes(20)]);
}

const controls: readonly Control[] = [
  { kind: 'ping', id: 1, received: 2 },
  { kind: 'pong', id: 0xffffffff, received: 2 ** 53 - 1 },
  { kind: 'ack', received: 5 },
  { kind: 'gap', received: 0 },
  { kind: 'bye', error: new NiiaError('link_lost', 'good-bye', 'Try again.') },
];
const statement = { body: '{"v":1}', sig: 'AAAA' };
const messages: readonly LinkMessage[] = [
  { type: 'roster', statements: [statement, statement] },
  { type: 'roster-taken', head: 'ab'.repeat(32) },
  { type: 'prefer', kind: 'p2p' },
  { type: 'prefer', kind: null },
];

describe('what comes on a path of a link', () => {
  fuzz(
    'frames are parsed or not, and what is parsed lies within the message',
    hostileBytes({
      valid: () => [
        initiateFrame(bytes(96)),
        respondFrame(bytes(96), bytes(48)),
        restartFrame(9),
        sealed('control'),
        sealed('data'),
        sealed('data', true, true),
      ],
    }),
    (input) => {
      const frame = parseFrame(input);
      if (frame?.type !== 'control' && frame?.type !== 'data') return;
      must(Number.isSafeInteger(frame.counter), 'a counter is exact');
      const parts = frame.associated.length + frame.tag.length + frame.ciphertext.length;
      must(parts === input.length && frame.tag.length === 16, 'the parts are the whole');
    },
  );

  fuzz('control messages are parsed or not', hostileBytes({ valid: () => controls.map(encodeControl) }), (input) => {
    const control = parseControl(input);
    if (control?.kind === 'bye') must(control.error.message.length <= 1_000, 'a good-bye is short');
    else if (control && Number.isSafeInteger(control.received)) {
      must(Buffer.compare(encodeControl(control), input) === 0, 'a control message has one spelling');
    }
  });

  fuzz(
    'JSON is parsed or not, however deep',
    hostileJsonBytes(() => messages),
    (input) => void parseJson(input),
  );

  fuzz(
    'messages of the link itself are parsed or not',
    hostileJsonBytes(() => messages),
    (input) => {
      const message = parseMessage(input);
      if (message) must(['roster', 'roster-taken', 'prefer'].includes(message.type), 'messages have a known type');
    },
  );

  test('what is encoded is decoded to the same', () => {
    const counter = fc.maxSafeNat();
    const control = fc.oneof(
      fc.record({ kind: fc.constantFrom('ping', 'pong'), id: fc.nat(0xffffffff), received: counter }),
      fc.record({ kind: fc.constantFrom('ack', 'gap'), received: counter }),
    );
    fc.assert(
      fc.property(control, (one) => {
        expect(parseControl(encodeControl(one))).toEqual(one);
      }),
    );
    for (const message of messages) expect(parseMessage(encodeMessage(message))).toEqual(message);
    const noise = fc.uint8Array({ minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(noise, fc.nat(0xffffffff), (some, session) => {
        expect(parseFrame(initiateFrame(some))).toEqual({ type: 'initiate', noise: some });
        expect(parseFrame(restartFrame(session))).toEqual({ type: 'restart', session });
        const { head } = sealedHead('data', session, session, { more: true, internal: false });
        putTag(head, bytes(16));
        expect(parseFrame(Buffer.concat([head, some]))).toMatchObject({
          type: 'data',
          session,
          counter: session,
          more: true,
        });
      }),
    );
  });
});
