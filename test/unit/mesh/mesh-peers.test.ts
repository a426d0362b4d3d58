import { expect, test } from 'vitest';
import { Mesh } from '../../../daemon/mesh/mesh.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { Peer } from '../../../shared/rpc/peer.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import { identities, teamOf } from '../../sim/team.ts';

test('calls of two peers go on while one path after the other dies under them', async () => {
  const [low, high] = identities(2) as [Identity, Identity];
  const roster = teamOf(low, high);
  const opened: Promise<Peer>[] = [];
  const meshes = [low, high].map((identity) => {
    let resolve: (peer: Peer) => void = () => undefined;
    opened.push(
      new Promise((done) => {
        resolve = done;
      }),
    );
    return new Mesh({
      identity,
      roster: () => roster,
      offerRoster: () => undefined,
      opened: (_remote, transport) =>
        resolve(
          new Peer(transport, {
            face: 'daemon',
            software: 'test',
            serve: (call) => ({ value: call.header.p, body: call.body }),
          }),
        ),
      changed: () => undefined,
      log: { debug: () => undefined, info: () => undefined },
    });
  });
  const [a, b] = meshes as [Mesh, Mesh];
  const connect = () => {
    const [one, other] = memoryTransportPair();
    a.addPath(high.id, 'gateway', one);
    b.addPath(low.id, 'gateway', other);
    return one;
  };
  let path = connect();
  const [peer] = await Promise.all(opened);
  const body = Buffer.alloc(100_000, 'x');
  for (let i = 0; i < 300; i++) {
    const response = peer!.call('echo', { i }, { body }).response;
    // In the middle of the call.
    if (i % 10 === 9) {
      path.close();
      path = connect();
    }
    const reply = await response;
    expect(reply.value).toEqual({ i });
    expect(Buffer.compare(reply.body ?? Buffer.alloc(0), body)).toBe(0);
  }
  for (const mesh of meshes) mesh.close(new NiiaError('link_lost', 'the test is over'));
  expect(peer!.closed).toBe(true);
});
