import { NiiaError } from '../../shared/errors.ts';
import type { wakeMethods } from '../../shared/protocol/wake-methods.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Handlers } from '../../shared/rpc/server.ts';
import type { ConfigStore } from '../home/config.ts';
import type { KnownMachines } from './known-machines.ts';
import type { Machines } from './machines.ts';
import { MagicPackets } from './magic-packet.ts';
import type { Network } from './network.ts';

export interface WakeHandlersOptions {
  /** This machine's id. */
  self: string;
  machines: Machines;
  known: KnownMachines;
  network: Network;
  config: ConfigStore;
  machineName: () => string;
}

/** What is known of machines that are away, and what brings them back. */
export function wakeHandlers(o: WakeHandlersOptions): Handlers<keyof typeof wakeMethods, Principal> {
  const packets = new MagicPackets();
  return {
    'machine.known': ({ params }) => {
      const { name, id } = o.machines.find(params.machine);
      const info = o.machines.list().find((one) => one.id === id);
      const known = o.known.of(id);
      const addresses = id === o.self ? [] : o.network.paths.book.of(id);
      return {
        machine: name,
        id,
        online: info?.online ?? false,
        lastSeen: info?.lastSeen ?? known?.lastSeen ?? null,
        path: info?.path ?? known?.path ?? null,
        addresses: addresses.map(({ url, lastGoodAt }) => ({ url, lastGoodAt })),
        wake: o.config.current.wake[id] ?? null,
      };
    },

    'machine.setWake': ({ params }) => {
      const { name, id } = o.machines.find(params.machine);
      if (id === o.self) throw new NiiaError('usage', `${name} is this machine: others can wake it`);
      let { wake } = params;
      if (wake?.by === 'lan' && wake.via !== null) {
        const via = o.machines.find(wake.via);
        if (via.id === id) throw new NiiaError('usage', `${name} cannot wake itself`, 'Name a neighbour with --via.');
        wake = { ...wake, via: via.id === o.self ? null : via.id };
      }
      const { [id]: _, ...others } = o.config.current.wake;
      o.config.update({ wake: wake === null ? others : { ...others, [id]: wake } });
      return { machine: name, wake };
    },

    'machine.sendWake': async ({ params }) => ({
      machine: o.machineName(),
      sentTo: await packets.send(params.mac, params.broadcast),
    }),
  };
}
