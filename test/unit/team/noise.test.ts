import { createCipheriv, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NoiseKeyPair, NoiseOptions } from '../../../daemon/team/noise.ts';
import { NoiseHandshake } from '../../../daemon/team/noise.ts';

interface Vector {
  protocol: string;
  prologue: string;
  psk?: string;
  initiator: { static: string; ephemeral: string };
  responder: { static: string; ephemeral: string };
  messages: { from: 'initiator' | 'responder'; payload: string; ciphertext: string }[];
}

const { vectors } = JSON.parse(readFileSync(new URL('./vectors/noise.json', import.meta.url), 'utf8')) as {
  vectors: Vector[];
};

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const unhex = (text: string) => Buffer.from(text, 'hex');

/** The pair of a raw X25519 secret, by node:crypto: independent of the library under test. */
function pairOf(secretHex: string): NoiseKeyPair {
  const key = createPrivateKey({
    key: Buffer.concat([unhex('302e020100300506032b656e04220420'), unhex(secretHex)]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return { publicKey: Buffer.from(x!, 'base64url'), secretKey: unhex(secretHex) };
}

function newPair(): NoiseKeyPair {
  const { d } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  return pairOf(Buffer.from(d!, 'base64url').toString('hex'));
}

function seal(key: Uint8Array, plain: Uint8Array): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: 16 });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function sides(vector: Vector): { initiator: NoiseHandshake; responder: NoiseHandshake } {
  const pattern = vector.protocol.includes('_IK_') ? ('IK' as const) : ('XXpsk0' as const);
  const responderStatic = pairOf(vector.responder.static);
  const common = { pattern, prologue: unhex(vector.prologue), ...(vector.psk ? { psk: unhex(vector.psk) } : {}) };
  return {
    initiator: new NoiseHandshake({
      ...common,
      initiator: true,
      staticKey: pairOf(vector.initiator.static),
      ephemeral: pairOf(vector.initiator.ephemeral),
      ...(pattern === 'IK' ? { remoteStatic: responderStatic.publicKey } : {}),
    }),
    responder: new NoiseHandshake({
      ...common,
      initiator: false,
      staticKey: responderStatic,
      ephemeral: pairOf(vector.responder.ephemeral),
    }),
  };
}

describe('published vectors', () => {
  it('are there for both patterns', () => {
    expect(new Set(vectors.map((vector) => vector.protocol))).toEqual(
      new Set(['Noise_IK_25519_ChaChaPoly_BLAKE2b', 'Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b']),
    );
  });

  for (const [index, vector] of vectors.entries()) {
    it(`${vector.protocol} ${index}: every message, and the keys that follow`, () => {
      const { initiator, responder } = sides(vector);
      for (const { from, payload, ciphertext } of vector.messages) {
        const [writer, reader] = from === 'initiator' ? [initiator, responder] : [responder, initiator];
        if (writer.complete) {
          expect(hex(seal(writer.keys.send, unhex(payload)))).toBe(ciphertext);
          expect(hex(reader.keys.receive)).toBe(hex(writer.keys.send));
          continue;
        }
        const message = writer.write(unhex(payload));
        expect(hex(message)).toBe(ciphertext);
        expect(hex(reader.read(message))).toBe(payload);
        expect(hex(reader.hash)).toBe(hex(writer.hash));
      }
      expect(hex(initiator.remoteStatic!)).toBe(hex(pairOf(vector.responder.static).publicKey));
      expect(hex(responder.remoteStatic!)).toBe(hex(pairOf(vector.initiator.static).publicKey));
    });
  }
});

const a = newPair();
const b = newPair();
const prologue = Buffer.from('prologue');
const psk = Buffer.alloc(32, 7);

function handshakes(
  pattern: 'IK' | 'XXpsk0',
  ours: Partial<NoiseOptions> = {},
  theirs: Partial<NoiseOptions> = {},
): [NoiseHandshake, NoiseHandshake] {
  const common = { pattern, prologue, ...(pattern === 'XXpsk0' ? { psk } : {}) };
  const known = pattern === 'IK' ? { remoteStatic: b.publicKey } : {};
  return [
    new NoiseHandshake({ ...common, initiator: true, staticKey: a, ...known, ...ours }),
    new NoiseHandshake({ ...common, initiator: false, staticKey: b, ...theirs }),
  ];
}

function complete([left, right]: [NoiseHandshake, NoiseHandshake]): void {
  let [writer, reader] = [left, right];
  while (!left.complete || !right.complete) {
    reader.read(writer.write());
    [writer, reader] = [reader, writer];
  }
}

const denied = expect.objectContaining({ code: 'denied' });

describe.each(['IK', 'XXpsk0'] as const)('%s', (pattern) => {
  it('gives both sides the same fresh keys and proves the static ones', () => {
    const first = handshakes(pattern);
    const second = handshakes(pattern);
    complete(first);
    complete(second);
    expect(first[0].keys.send).toEqual(first[1].keys.receive);
    expect(first[1].keys.send).toEqual(first[0].keys.receive);
    expect(first[0].hash).toEqual(first[1].hash);
    expect(hex(first[1].remoteStatic!)).toBe(hex(a.publicKey));
    expect(hex(first[0].remoteStatic!)).toBe(hex(b.publicKey));
    expect(first[0].keys.send).not.toEqual(second[0].keys.send);
  });

  it('refuses another prologue [LINK-1]', () => {
    expect(() => complete(handshakes(pattern, { prologue: Buffer.from('other') }))).toThrow(denied);
  });

  it('refuses every message of which one bit was changed, at every byte [LINK-1]', () => {
    const rounds = pattern === 'IK' ? 2 : 3;
    for (let altered = 0; altered < rounds; altered++) {
      const probe = handshakes(pattern);
      const length = messageAt(probe, altered).message.length;
      for (let index = 0; index < length; index++) {
        const { message, reader } = messageAt(handshakes(pattern), altered);
        message[index]! ^= 1;
        expect(() => reader.read(message), `message ${altered}, byte ${index}`).toThrow(denied);
        expect(reader.complete).toBe(false);
      }
    }
  });

  it('refuses messages cut short, too long, or made of anything, and is of no use afterwards [LINK-1]', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const [, responder] = handshakes(pattern);
        expect(() => responder.read(bytes)).toThrow(denied);
        expect(() => responder.write()).toThrow(denied);
        expect(() => responder.keys).toThrow();
      }),
    );
    const [, responder] = handshakes(pattern);
    expect(() => responder.read(new Uint8Array(65_536))).toThrow(denied);
  });

  it('refuses public keys of low order, as ephemeral or as static key', () => {
    // RFC 7748, section 6.1, and https://cr.yp.to/ecdh.html#validate
    const lowOrder = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ];
    for (const point of lowOrder) {
      const bad = { publicKey: unhex(point), secretKey: Buffer.alloc(32, 9) };
      expect(() => complete(handshakes(pattern, { ephemeral: bad })), point).toThrow(denied);
      expect(() => complete(handshakes(pattern, {}, { ephemeral: bad })), point).toThrow(denied);
      expect(() => complete(handshakes(pattern, { staticKey: bad })), point).toThrow(denied);
      if (pattern === 'IK') {
        expect(() => complete(handshakes(pattern, { remoteStatic: bad.publicKey })), point).toThrow(denied);
      } else {
        expect(() => complete(handshakes(pattern, {}, { staticKey: bad })), point).toThrow(denied);
      }
    }
  });

  it('refuses a message that is repeated or out of turn [LINK-1]', () => {
    const [initiator, responder] = handshakes(pattern);
    const first = initiator.write();
    responder.read(first);
    expect(() => responder.read(first)).toThrow(denied);
    const [other] = handshakes(pattern);
    expect(() => other.read(first)).toThrow(denied);
  });

  it('leaves the caller his bytes, and his copies of the keys, untouched', () => {
    const pair = handshakes(pattern);
    const [initiator, responder] = pair;
    const first = initiator.write(Buffer.from('hello'));
    const before = hex(first);
    responder.read(first);
    initiator.read(responder.write());
    if (pattern === 'XXpsk0') responder.read(initiator.write());
    expect(hex(first)).toBe(before);
    initiator.keys.send.fill(0);
    initiator.hash.fill(0);
    expect(initiator.keys.send).toEqual(responder.keys.receive);
    expect(hex(initiator.hash)).toBe(hex(responder.hash));
    expect(hex(a.secretKey)).not.toBe('00'.repeat(32));
  });
});

describe('who the other side is', () => {
  it('an initiator of IK that expects another key gets no answer [LINK-1]', () => {
    expect(() => complete(handshakes('IK', { remoteStatic: newPair().publicKey }))).toThrow(denied);
  });

  it('a responder that does not hold the secret of its key cannot answer', () => {
    const impostor = { publicKey: b.publicKey, secretKey: newPair().secretKey };
    expect(() => complete(handshakes('IK', {}, { staticKey: impostor }))).toThrow(denied);
  });

  it('an initiator that shows a key whose secret it does not hold is refused [LINK-1]', () => {
    const impostor = { publicKey: newPair().publicKey, secretKey: newPair().secretKey };
    expect(() => complete(handshakes('IK', { staticKey: impostor }))).toThrow(denied);
    expect(() => complete(handshakes('XXpsk0', { staticKey: impostor }))).toThrow(denied);
  });

  it('another pre-shared key is refused at the first message', () => {
    const [initiator, responder] = handshakes('XXpsk0', { psk: Buffer.alloc(32, 8) });
    const first = initiator.write();
    expect(() => responder.read(first)).toThrow(denied);
  });
});

/** The message number `count` of a handshake, and who shall read it. */
function messageAt(
  pair: [NoiseHandshake, NoiseHandshake],
  count: number,
): { message: Uint8Array; reader: NoiseHandshake } {
  for (let turn = 0; ; turn++) {
    const [writer, reader] = turn % 2 === 0 ? pair : [pair[1], pair[0]];
    const message = writer.write(Buffer.from('payload'));
    if (turn === count) return { message, reader };
    reader.read(message);
  }
}
