import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { ConfigStore } from '../../home/config.ts';
import { isLoopback } from '../../mesh/proxy.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, skip, warn } from '../check.ts';
import type { StunOutcome } from '../stun-probe.ts';
import { askStun } from '../stun-probe.ts';

export interface UdpFacts {
  /** The setting `p2p`. */
  wanted: boolean;
  /** Addresses of this computer, and what came of sending a datagram from each to itself. */
  trials: ReadonlyArray<{ address: string; error: string | null }>;
}

export function judgeUdp({ wanted, trials }: UdpFacts): Finding {
  const broken = trials.filter((trial) => trial.error !== null);
  if (!wanted) return skip('p2p is switched off', 'niia config set p2p on');
  if (trials.length === 0) return warn('this computer has no address', 'Connect it to a network');
  if (broken.length === trials.length) {
    return fail(
      `no datagram gets through, not even to this computer itself (${broken[0]?.address}: ${broken[0]?.error})`,
      'Let the firewall pass UDP for this program; without it there are no p2p paths',
    );
  }
  const works = trials.filter((trial) => trial.error === null).map((trial) => trial.address);
  if (broken.length > 0)
    return warn(`UDP does not work on ${broken.map((trial) => trial.address).join(', ')}`, 'Look at the firewall');
  return pass(`UDP works on ${works.join(', ')}`);
}

const echoMs = 1_500;

export const checkUdp: Check = async ({ home, signal }) => {
  const all = Object.values(networkInterfaces()).flatMap((infos = []) => infos);
  const addresses = all.filter(({ family }) => family === 'IPv4').map(({ address }) => address);
  const wanted = p2pWanted(home);
  const trials = wanted ? await Promise.all(addresses.slice(0, 8).map((address) => echo(address, signal))) : [];
  return judgeUdp({ wanted, trials });
};

/** Sends a datagram to the very socket that sends it. */
async function echo(address: string, signal: AbortSignal): Promise<UdpFacts['trials'][number]> {
  let socket: Socket | undefined;
  try {
    socket = createSocket('udp4');
    socket.bind({ address, port: 0 });
    await once(socket, 'listening', { signal });
    const heard = once(socket, 'message', { signal: AbortSignal.any([signal, AbortSignal.timeout(echoMs)]) });
    socket.send('niia', socket.address().port, address);
    await heard;
    return { address, error: null };
  } catch (error) {
    const timedOut = error instanceof Error && error.name === 'AbortError';
    return { address, error: timedOut ? 'it does not arrive' : String(error) };
  } finally {
    socket?.close();
  }
}

export interface StunFacts {
  wanted: boolean;
  /** `host:port` of the gateway's STUN; undefined where there is none to ask. */
  server: string | undefined;
  outcome: StunOutcome | undefined;
}

export function judgeStun({ wanted, server, outcome }: StunFacts): Finding {
  if (!wanted) return skip('p2p is switched off', 'niia config set p2p on');
  if (server === undefined || !outcome) return skip('the gateway is this machine itself: no NAT is between');
  if ('error' in outcome) {
    return warn(
      `no STUN answer from ${server} over UDP (${outcome.error}): through NATs no p2p path will be found`,
      `Let firewalls, the gateway's too, pass UDP to ${server}`,
    );
  }
  const { outside, local } = outcome;
  return pass(
    outside === local
      ? `${server} answers; no NAT is in between`
      : `${server} answers; outside this machine is ${outside}`,
  );
}

export const checkStun: Check = async ({ home, gateway, signal }) => {
  const wanted = p2pWanted(home);
  const { url } = await gateway();
  if (!wanted || url === undefined) return judgeStun({ wanted, server: undefined, outcome: undefined });
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  // A gateway on loopback serves no STUN: nobody on the same computer is behind a NAT.
  if (isLoopback(host)) return judgeStun({ wanted, server: undefined, outcome: undefined });
  const number = Number(port) || (protocol === 'wss:' ? 443 : 80);
  return judgeStun({ wanted, server: `${hostname}:${number}`, outcome: await askStun(host, number, signal) });
};

/** Settings that cannot be read are another check's matter. */
function p2pWanted(home: ConstructorParameters<typeof ConfigStore>[0]): boolean {
  try {
    return new ConfigStore(home).current.p2p === 'on';
  } catch {
    return true;
  }
}
