import { describe, expect, it } from 'vitest';
import { type Carrier, Carriers } from '../../../daemon/paths/carrier.ts';
import { LanCarrier } from '../../../daemon/paths/lan-carrier.ts';
import { LinkCarrier, NeighbourCarrier, type OpenLinks } from '../../../daemon/paths/peer-carriers.ts';
import type { Signal } from '../../../daemon/paths/signal.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { Peer } from '../../../shared/rpc/peer.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';

const signal: Signal = { type: 'p2p-wanted' };

/** Links to machines that take signals, or refuse them, and what they were asked for. */
function links(...machines: Array<{ id: string; takes: boolean }>) {
  const asked: Array<{ by: string; params: unknown }> = [];
  const peers = new Map(
    machines.map(({ id, takes }) => {
      const [here, there] = memoryTransportPair();
      new Peer(there, {
        face: 'daemon',
        software: 'test',
        serve: (call) => {
          asked.push({ by: id, params: call.header.p });
          if (!takes) throw new NiiaError('offline', 'no link to that machine');
          return { value: {} };
        },
      });
      return [id, new Peer(here, { face: 'daemon', software: 'test' })] as const;
    }),
  );
  const open: OpenLinks = { get: (id) => peers.get(id), machines: () => [...peers.keys()] };
  return { open, asked, close: () => [...peers.values()].forEach((peer) => void peer.close()) };
}

describe('a signal', () => {
  it('goes by the first carrier that can take it there, in their order [SIG-6]', async () => {
    const went: string[] = [];
    const carrier = (name: string, reaches: boolean, takes: boolean): Carrier => ({
      name,
      reaches: () => reaches,
      send: async () => {
        went.push(name);
        return takes;
      },
    });
    const all = [carrier('link', false, true), carrier('lan', true, false), carrier('neighbour', true, true)];
    expect(await new Carriers(all).send('m', signal)).toBe(true);
    expect(went).toEqual(['lan', 'neighbour']);
    expect(await new Carriers(all.slice(0, 2)).send('m', signal)).toBe(false);
  });

  it('goes down the link to the machine itself, or in a datagram to one that is seen [SIG-6]', async () => {
    const { open, asked, close } = links({ id: 'm', takes: true });
    const link = new LinkCarrier(open);
    expect([link.reaches('m'), link.reaches('n')]).toEqual([true, false]);
    expect([await link.send('m', signal), await link.send('n', signal)]).toEqual([true, false]);
    expect(asked).toEqual([{ by: 'm', params: { to: 'm', signal } }]);
    const lan = new LanCarrier({ seen: (id) => id === 'm', send: async () => true });
    expect([lan.reaches('m'), lan.reaches('n'), await lan.send('m', signal)]).toEqual([true, false, true]);
    close();
  });

  it('is given to three neighbours at most, first to the one that could pass it on before [SIG-6]', async () => {
    const { open, asked, close } = links(
      { id: 'a', takes: false },
      { id: 'b', takes: false },
      { id: 'c', takes: true },
      { id: 'd', takes: true },
    );
    const neighbours = new NeighbourCarrier(open);
    expect(await neighbours.send('m', signal)).toBe(true);
    expect(await neighbours.send('m', signal)).toBe(true);
    expect(asked.map(({ by }) => by)).toEqual(['a', 'b', 'c', 'c']);
    close();
    const deaf = links(...['a', 'b', 'c', 'd'].map((id) => ({ id, takes: id === 'd' })));
    expect(await new NeighbourCarrier(deaf.open).send('m', signal)).toBe(false);
    expect(deaf.asked).toHaveLength(3);
    deaf.close();
  });
});
