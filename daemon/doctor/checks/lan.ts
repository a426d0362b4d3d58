import { randomBytes } from 'node:crypto';
import { ConfigStore } from '../../home/config.ts';
import { Mdns } from '../../lan/mdns.ts';
import { localSegments } from '../../lan/segments.ts';
import type { Check, Finding } from '../check.ts';
import { pass, skip, warn } from '../check.ts';

export interface LanFacts {
  /** The setting `lan`. */
  wanted: boolean;
  /** Networks, and whether what was announced there was heard; `error`: no multicast socket could be opened. */
  networks: ReadonlyArray<{ address: string; heard: boolean; error: string | null }>;
}

export function judgeLan({ wanted, networks }: LanFacts): Finding {
  if (!wanted) return skip('looking around on the local network is switched off', 'niia config set lan on');
  const mend = 'Let the firewall pass UDP port 5353 (multicast DNS); or switch it off: niia config set lan off';
  if (networks.length === 0) return warn('this computer is on no network', 'Connect it to a network');
  const heard = networks.filter((network) => network.heard);
  const first = networks.find((network) => !network.heard);
  if (heard.length === 0 && first) {
    const why = first.error ?? 'what this machine announces does not come back';
    return warn(`machines on the local network cannot be found: ${why} (${first.address})`, mend);
  }
  return pass(`multicast DNS works on ${heard.map((network) => network.address).join(', ')}`);
}

const hearMs = 2_500;

export const checkLan: Check = async ({ home, signal }) => {
  const wanted = lanWanted(home);
  const networks = wanted ? await Promise.all(localSegments().map((segment) => hearOurselves(segment, signal))) : [];
  return judgeLan({ wanted, networks });
};

/** Announces a name that nobody has, for a moment, and listens for it. */
async function hearOurselves(
  segment: ReturnType<typeof localSegments>[number],
  signal: AbortSignal,
): Promise<LanFacts['networks'][number]> {
  const { address } = segment;
  const hash = randomBytes(16).toString('hex');
  const doors: Mdns[] = [];
  try {
    const heard = await new Promise<boolean>((resolve, reject) => {
      const late = AbortSignal.any([signal, AbortSignal.timeout(hearMs)]);
      late.addEventListener('abort', () => resolve(false), { once: true });
      const found = (announcement: { hash: string }): void => {
        if (announcement.hash === hash) resolve(true);
      };
      const gone = (): void => undefined;
      const opened = async (): Promise<void> => {
        doors.push(await Mdns.open({ segment, publish: undefined, found, gone }));
        doors.push(await Mdns.open({ segment, publish: { hash, port: 9 }, found: gone, gone }));
      };
      opened().catch(reject);
    });
    return { address, heard, error: null };
  } catch (error) {
    return { address, heard: false, error: error instanceof Error ? error.message : String(error) };
  } finally {
    await Promise.all(doors.map((door) => door.close()));
  }
}

/** Settings that cannot be read are another check's matter. */
function lanWanted(home: ConstructorParameters<typeof ConfigStore>[0]): boolean {
  try {
    return new ConfigStore(home).current.lan === 'on';
  } catch {
    return true;
  }
}
