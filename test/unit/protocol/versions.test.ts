import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { Link } from '../../../daemon/mesh/link.ts';
import { nodeLinkCrypto } from '../../../daemon/mesh/link-crypto.ts';
import { initiateFrame, parseFrame, respondFrame } from '../../../daemon/mesh/link-frames.ts';
import { parseMessage } from '../../../daemon/mesh/link-messages.ts';
import { LinkSession } from '../../../daemon/mesh/link-session.ts';
import { greetDialler, greetListener } from '../../../daemon/paths/direct-greeting.ts';
import { signalSchema } from '../../../daemon/paths/signal.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import { toDiallerSchema } from '../../../shared/protocol/direct.ts';
import { toGatewaySchema, toMachineSchema } from '../../../shared/protocol/gateway.ts';
import { agreeOnVersion } from '../../../shared/protocol/version.ts';
import { helloSchema, Peer } from '../../../shared/rpc/peer.ts';
import { CheapHandshake } from '../../fuzz/support/cheap-handshake.ts';
import { machineNamed } from '../../fuzz/support/keys.ts';
import { LooseEnd } from '../../fuzz/support/loose-end.ts';
import { cheapCrypto } from '../../sim/cheap-crypto.ts';

const range = fc.tuple(fc.nat(20), fc.nat(5)).map(([min, more]) => ({ min, max: min + more }));

describe('two sides', () => {
  it('speak the highest version that both know, and both find the same one [VER-1]', () => {
    fc.assert(
      fc.property(range, range, (ours, theirs) => {
        const common = Array.from({ length: 30 }, (_, version) => version).filter((version) =>
          [ours, theirs].every(({ min, max }) => min <= version && version <= max),
        );
        const agree = (a: typeof ours, b: typeof ours): number | undefined => {
          try {
            return agreeOnVersion(a, 'the other side', b);
          } catch {
            return undefined;
          }
        };
        expect([agree(theirs, ours), agree(ours, theirs)]).toEqual([common.at(-1), common.at(-1)]);
      }),
    );
  });

  it('without a common version learn which of them is the older [VER-2]', () => {
    const of = (theirs: { min: number; max: number }) => () => agreeOnVersion(theirs, 'niia there', { min: 3, max: 4 });
    expect(of({ min: 5, max: 6 })).toThrow(
      expect.objectContaining({ code: 'version_mismatch', hint: expect.stringContaining('Upgrade niia on this side') }),
    );
    expect(of({ min: 1, max: 2 })).toThrow(
      expect.objectContaining({
        code: 'version_mismatch',
        hint: expect.stringContaining('Upgrade niia on niia there'),
      }),
    );
  });
});

describe('what a later version adds', () => {
  const protocol = { min: 1, max: 9 };
  const later = { later: { than: ['this'] } };

  it('to a message is passed over [VER-4]', () => {
    const messages = [
      [helloSchema, { protocol, software: '9', face: 'daemon' }],
      [toMachineSchema, { type: 'challenge', protocol, software: '9', nonce: 'AA', gateway: '' }],
      [toGatewaySchema, { type: 'ticket', hash: 'ab', expiresAt: '2030-01-01T00:00:00.000Z' }],
      [toDiallerSchema, { type: 'challenge', protocol, nonce: 'AA' }],
      [signalSchema, { type: 'p2p-wanted' }],
    ] as const;
    for (const [schema, message] of messages) expect(v.parse(schema, { ...message, ...later })).toEqual(message);
    expect(parseMessage(Buffer.from(JSON.stringify({ type: 'prefer', kind: null, ...later })))).toEqual({
      type: 'prefer',
      kind: null,
    });
  });

  it('as a kind of message or control frame of a link ends nothing [VER-4]', () => {
    expect(parseMessage(Buffer.from(JSON.stringify({ type: 'later' })))).toBeUndefined();
    const keys = { send: Buffer.alloc(32, 1), receive: Buffer.alloc(32, 2), hash: Buffer.alloc(64) };
    const there = { ...nodeLinkCrypto.cipher(nodeLinkCrypto.derive(keys.receive, 'niia link control')) };
    const session = new LinkSession(keys, nodeLinkCrypto);
    const head = Buffer.from('04000000000000000000000000', 'hex');
    const { tag, ciphertext } = there.seal(0, head, Uint8Array.of(99, 1, 2, 3));
    const frame = parseFrame(Buffer.concat([head, tag, ciphertext]));
    if (frame?.type !== 'control') throw new Error('no control frame');
    expect(session.openControl(frame)).toBe('unknown');
  });
});

describe('a greeting of a later version, of which only the range can be read', () => {
  const greeting = { protocol: { min: 8, max: 9 }, later: true };
  const bytes = Buffer.from(JSON.stringify(greeting));
  const older = { code: 'version_mismatch', hint: expect.stringContaining('Upgrade niia on this side') as unknown };

  it('tells a peer that it is the older [VER-3]', async () => {
    const pipe = new LooseEnd();
    const error = new Promise((closed) => new Peer(pipe, { face: 'daemon', software: '1', closed }));
    pipe.give(Buffer.concat([Buffer.alloc(5), bytes]));
    expect(await error).toMatchObject(older);
  });

  it('tells a dialler and a listener that they are the older [VER-3]', async () => {
    const [dialler, listener] = [new LooseEnd(), new LooseEnd()];
    const both = Promise.allSettled([
      greetListener(dialler, { certificate: '', team: 'team', self: machineNamed('self'), to: 'other' }),
      greetDialler(listener, { certificate: '', team: 'team', self: 'self' }),
    ]);
    for (const pipe of [dialler, listener]) pipe.give(bytes);
    expect(await both).toMatchObject([{ reason: older }, { reason: older }]);
  });

  it.each([true, false])('tells a link that it is the older (initiator: %s) [VER-3]', (initiator) => {
    const [self, other] = [machineNamed('self'), machineNamed('other')];
    const roster = Roster.create('team', self, self.name, 'nonce', '2026-01-01T00:00:00.000Z');
    const link = new Link({
      initiator,
      software: 'test',
      crypto: cheapCrypto,
      membership: { roster: () => roster, self: self.id, remote: other.id },
      handshake: (first) => (first === initiator ? new CheapHandshake(first, self, 7) : undefined),
    });
    const sent: Uint8Array[] = [];
    const give = (...parts: Uint8Array[]): void => {
      if (parts.length > 0) link.receive(1, Buffer.concat(parts), 1);
      for (let action = link.nextAction(); action; action = link.nextAction()) {
        if (action.do === 'send') sent.push(Buffer.concat([action.head, action.body ?? new Uint8Array()]));
      }
    };
    link.pathUp(1, 'gateway', 0);
    give();
    const there = new CheapHandshake(!initiator, other, 7);
    if (initiator) {
      const [first] = sent.map(parseFrame);
      if (first?.type !== 'initiate') throw new Error('no handshake was begun');
      there.read(first.noise);
      give(respondFrame(first.noise, there.write(bytes)));
    } else {
      give(initiateFrame(there.write(bytes)));
      const reply = sent.map(parseFrame).find((frame) => frame?.type === 'respond');
      if (reply?.type !== 'respond') throw new Error('the handshake was not answered');
      there.read(reply.noise);
      const session = new LinkSession({ ...there.keys, hash: there.hash }, cheapCrypto);
      const { head, body } = session.sealControl({ kind: 'ping', id: 1, received: 0 });
      give(head, body);
    }
    expect(link.error).toMatchObject(older);
  });
});
