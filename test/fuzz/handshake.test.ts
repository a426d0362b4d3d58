import fc from 'fast-check';
import { describe } from 'vitest';
import { NoiseHandshake, type NoiseOptions } from '../../daemon/team/noise.ts';
import { NiiaError } from '../../shared/errors.ts';
import { Random } from '../sim/random.ts';
import { fuzz, must } from './support/fuzz.ts';
import { hostile } from './support/hostile-bytes.ts';
import { machineNamed } from './support/keys.ts';

const [initiator, responder] = [machineNamed('initiator').noise, machineNamed('responder').noise];
const prologue = Buffer.from('fuzz');
const psk = Buffer.alloc(32, 9);
const payload = Buffer.from('payload');

const sides: Record<NoiseOptions['pattern'], { first: NoiseOptions; second: NoiseOptions; messages: number }> = {
  IK: {
    first: { pattern: 'IK', initiator: true, staticKey: initiator, remoteStatic: responder.publicKey, prologue },
    second: { pattern: 'IK', initiator: false, staticKey: responder, prologue },
    messages: 2,
  },
  XXpsk0: {
    first: { pattern: 'XXpsk0', initiator: true, staticKey: initiator, psk, prologue },
    second: { pattern: 'XXpsk0', initiator: false, staticKey: responder, psk, prologue },
    messages: 3,
  },
};

describe.each(Object.keys(sides) as Array<NoiseOptions['pattern']>)('Noise %s', (pattern) => {
  const { first, second, messages } = sides[pattern];

  fuzz(
    'takes the other side’s next message and nothing else; what is refused is refused as denied [LINK-1]',
    fc.noBias(fc.integer()),
    (start) => {
      const random = new Random(start);
      const [a, b] = [new NoiseHandshake(first), new NoiseHandshake(second)];
      const said: Uint8Array[] = [];
      const spoilt = random.integer(0, messages - 1);
      for (let turn = 0; turn <= spoilt; turn++) {
        const [from, to] = turn % 2 === 0 ? [a, b] : [b, a];
        const message = from.write(payload);
        said.push(message);
        const given = turn === spoilt ? hostile(said, random) : message;
        const same = Buffer.compare(given, message) === 0;
        try {
          const read = to.read(given);
          must(same && Buffer.compare(read, payload) === 0, 'only the true message is taken');
        } catch (error) {
          must(error instanceof NiiaError && error.code === 'denied', 'what is thrown is denied');
          must(!same && !to.complete, 'a handshake that was refused is over');
        }
      }
    },
    // Two to six operations on curves for each, most of a millisecond.
    { full: 50_000 },
  );
});
