import fc from 'fast-check';
import { describe } from 'vitest';
import { Link, type LinkOptions } from '../../daemon/mesh/link.ts';
import { linkLimits } from '../../daemon/mesh/link-timing.ts';
import type { Identity } from '../../daemon/team/identity.ts';
import { Roster } from '../../daemon/team/roster.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import { cheapCrypto } from '../sim/cheap-crypto.ts';
import { Random } from '../sim/random.ts';
import { CheapHandshake } from './support/cheap-handshake.ts';
import { fuzz, must } from './support/fuzz.ts';
import { hostile } from './support/hostile-bytes.ts';
import { machineNamed } from './support/keys.ts';

const [one, two] = [machineNamed('a'), machineNamed('b')];
const [ida, idb] = one.id < two.id ? [one, two] : [two, one];
const at = '2026-01-01T00:00:00.000Z';
const roster = Roster.create('fuzz', ida, ida.name, 'nonce', at).append(
  { op: 'add', member: { id: idb.id, name: idb.name, role: 'admin', signKey: idb.signKey, noiseKey: idb.noiseKey } },
  ida,
  at,
);

const paths: readonly (readonly [number, PathKind])[] = [
  [1, 'gateway'],
  [2, 'p2p'],
];

/** A link by itself, whose actions the test carries out. */
class Side {
  readonly link: Link;
  readonly delivered: number[] = [];
  out: { path: number; message: Uint8Array }[] = [];
  opens = 0;
  ends = 0;

  constructor(self: Identity, remote: Identity, session: number) {
    const options: LinkOptions = {
      initiator: self === ida,
      software: 'test',
      crypto: cheapCrypto,
      framesPerKey: 64,
      membership: { roster: () => roster, self: self.id, remote: remote.id },
      handshake: (initiator) => new CheapHandshake(initiator, self, session),
    };
    this.link = new Link(options);
    for (const [id, kind] of paths) this.link.pathUp(id, kind, 0);
    this.run(0);
  }

  run(now: number): void {
    for (let action = this.link.nextAction(); action; action = this.link.nextAction()) {
      if (action.do === 'send') this.#sent(action.path, action.head, action.body);
      else if (action.do === 'deliver') this.delivered.push(Buffer.from(action.message).readUInt32BE());
      else if (action.do === 'opened') this.opens++;
      else if (action.do === 'closed') this.ends++;
      else if (action.do === 'close-path') this.#dialAgain(action.path, now);
    }
    for (let data = this.link.takeData(now); data; data = this.link.takeData(now)) {
      this.#sent(data.path, data.head, data.body);
    }
  }

  #dialAgain(path: number, now: number): void {
    this.link.pathDown(path, now);
    this.link.pathUp(path, path === 1 ? 'gateway' : 'p2p', now);
  }

  give(path: number, message: Uint8Array, now: number): void {
    this.link.receive(path, message, now);
    this.run(now);
  }

  send(number: number, length: number, now: number): void {
    const message = Buffer.alloc(4 + length);
    message.writeUInt32BE(number);
    this.link.send(message, undefined, now);
    this.run(now);
  }

  #sent(path: number, head: Uint8Array, body?: Uint8Array): void {
    this.out.push({ path, message: body ? Buffer.concat([head, body]) : Uint8Array.from(head) });
  }
}

const perNight = 100;

describe('a link whose paths belong to somebody else', () => {
  fuzz(
    'delivers what was sent, once and in order, whatever else comes, and counts what it drops [LINK-9, LINK-12, LINK-13]',
    fc.noBias(fc.integer()),
    (start) => {
      const random = new Random(start);
      const sides = [new Side(ida, idb, start), new Side(idb, ida, start)] as const;
      const [a, b] = sides;
      const past: Uint8Array[] = [];
      const sent: [number[], number[]] = [[], []];
      let now = 1;

      const carry = (faithful: boolean): void => {
        for (let round = 0; round < 50 && a.out.length + b.out.length > 0; round++) {
          for (const [from, to] of [
            [a, b],
            [b, a],
          ] as const) {
            const messages = from.out;
            from.out = [];
            if (!faithful && random.chance(0.2)) messages.reverse();
            for (const { path, message } of messages) {
              if (past.length < 200) past.push(message);
              else past[random.integer(0, 199)] = message;
              if (faithful || !random.chance(0.1)) to.give(faithful ? path : random.pick([1, 2]), message, now);
            }
          }
        }
      };
      const pass = (ms: number, faithful: boolean): void => {
        now += ms;
        for (const side of sides) {
          side.link.tick(now);
          side.run(now);
        }
        carry(faithful);
      };

      carry(true);
      must(a.link.open && b.link.open, 'the link opens');
      for (let i = 0; i < perNight; i++) {
        const to = random.pick(sides);
        const bytes = random.chance(0.3) && past.length > 0 ? random.pick(past) : hostile(past, random);
        to.give(random.pick([1, 2, 3]), bytes, now);
        if (random.chance(0.2)) {
          const who = random.integer(0, 1) as 0 | 1;
          const side = sides[who];
          if (side.link.writable) {
            sent[who].push(sent[who].length);
            side.send(sent[who].length - 1, random.chance(0.05) ? 100_000 : random.integer(0, 300), now);
          }
        }
        if (random.chance(0.3)) pass(random.integer(0, 800), false);
        must(Math.max(a.link.buffered, b.link.buffered) <= 2 * linkLimits.window, 'what is held is bounded');
      }
      for (let i = 0; i < 60; i++) pass(400, true);
      must(same(b.delivered, sent[0]) && same(a.delivered, sent[1]), 'every message comes once and in order');
      must(a.opens === 1 && b.opens === 1 && a.ends + b.ends === 0, 'the link does not end');
      const { malformed, forged, replayed, duplicates, gaps } = a.link.stats;
      const other = b.link.stats;
      const dropped = malformed + forged + replayed + duplicates + gaps;
      must(
        dropped + other.malformed + other.forged + other.replayed + other.duplicates + other.gaps > 0,
        'what was dropped is counted',
      );
    },
    { each: perNight },
  );
});

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
