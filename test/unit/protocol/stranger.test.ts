import { expect, it } from 'vitest';
import { Link } from '../../../daemon/mesh/link.ts';
import { initiateFrame, parseFrame } from '../../../daemon/mesh/link-frames.ts';
import { LinkSession } from '../../../daemon/mesh/link-session.ts';
import { linkLimits } from '../../../daemon/mesh/link-timing.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import { protocolRange } from '../../../shared/protocol/version.ts';
import { CheapHandshake } from '../../fuzz/support/cheap-handshake.ts';
import { machineNamed } from '../../fuzz/support/keys.ts';
import { cheapCrypto } from '../../sim/cheap-crypto.ts';

const [member, stranger] = [machineNamed('member'), machineNamed('stranger')];
const roster = Roster.create('team', member, member.name, 'nonce', '2026-01-01T00:00:00.000Z');

/** A link to somebody who can do a handshake and shows no roster, and his end of the session. */
function strange() {
  const link = new Link({
    initiator: false,
    software: 'test',
    crypto: cheapCrypto,
    membership: { roster: () => roster, self: member.id, remote: stranger.id },
    handshake: (initiator) => (initiator ? undefined : new CheapHandshake(false, member, 7)),
  });
  const sent: Uint8Array[] = [];
  const did: string[] = [];
  let now = 0;
  const run = (): void => {
    for (let action = link.nextAction(); action; action = link.nextAction()) {
      if (action.do === 'send') sent.push(Buffer.concat([action.head, action.body ?? new Uint8Array()]));
      else if (action.do !== 'changed') did.push(action.do);
    }
  };
  const give = (head: Uint8Array, body: Uint8Array = new Uint8Array()): void => {
    link.receive(1, Buffer.concat([head, body]), ++now);
    run();
  };
  link.pathUp(1, 'gateway', now);
  const handshake = new CheapHandshake(true, stranger, 7);
  const greeting = {
    protocol: protocolRange,
    software: 'test',
    roster: { team: roster.team.id, head: 'ab', length: 9 },
  };
  give(initiateFrame(handshake.write(Buffer.from(JSON.stringify(greeting)))));
  const reply = sent.map(parseFrame).find((frame) => frame?.type === 'respond');
  if (reply?.type !== 'respond') throw new Error('the handshake was not answered');
  handshake.read(reply.noise);
  const session = new LinkSession({ ...handshake.keys, hash: handshake.hash }, cheapCrypto);
  const ping = session.sealControl({ kind: 'ping', id: 1, received: 0 });
  give(ping.head, ping.body);
  const flood = (bytes: number, internal: boolean): void => {
    session.write(internal, Buffer.alloc(bytes));
    for (let frame = session.outbox.take(now); frame; frame = session.outbox.take(now)) give(frame.head, frame.body);
  };
  return { link, did, flood, ended: () => link.error?.code };
}

it('a machine that has not shown that it is a member delivers nothing, and is cut off after two megabytes [LINK-33]', () => {
  const { link, did, flood, ended } = strange();
  expect(link.connecting).toBe(true);
  for (let sent = 0; sent + (512 << 10) <= linkLimits.roster; sent += 512 << 10) flood(512 << 10, false);
  expect([link.connecting, ended(), did]).toEqual([true, undefined, []]);
  flood(linkLimits.fragment + 1, false);
  expect([link.connecting, ended(), did]).toEqual([false, 'too_large', []]);
});

it('messages without a byte count as well: as many as are held before it is cut off are bounded [LINK-33]', {
  timeout: 60_000,
}, () => {
  const { link, did, flood, ended } = strange();
  let sent = 0;
  while (link.connecting && sent < 200_000) {
    flood(0, false);
    sent++;
  }
  expect([ended(), did]).toEqual(['too_large', []]);
  expect(sent).toBeLessThan(100_000);
});

it('a roster that has no end is not waited for [LINK-33, LINK-10]', () => {
  const { link, did, flood, ended } = strange();
  flood(linkLimits.roster, true);
  expect([link.connecting, ended()]).toEqual([true, undefined]);
  flood(linkLimits.fragment + 1, true);
  expect([link.connecting, ended(), did]).toEqual([false, 'too_large', []]);
});
