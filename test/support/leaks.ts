import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** What a process holds, as the kernel counts it. */
export interface Holdings {
  descriptors: number;
  sockets: number;
  rssKb: number;
  /** Times that it went to sleep since its start: what wakes an idle process is its timers. */
  sleeps: number;
}

export function holdings(pid: number): Holdings {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const figure = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  const targets = openFiles(pid);
  return {
    descriptors: targets.length,
    sockets: targets.filter((target) => target.startsWith('socket:')).length,
    rssKb: figure('VmRSS'),
    sleeps: figure('voluntary_ctxt_switches'),
  };
}

/** What its descriptors name; a descriptor that was closed meanwhile is left out. */
export function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
    .filter((target) => target !== '');
}

/** How often it wakes in a second while nobody asks anything of it. */
export async function wakesPerSecond(pid: number, ms = 2_000): Promise<number> {
  const before = holdings(pid).sleeps;
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ((holdings(pid).sleeps - before) * 1_000) / ms;
}

/** Processes whose environment names the home. */
export function processesOf(home: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`NIIA_HOME=${home}`);
      } catch {
        return false; // It ended meanwhile, or is not ours to see.
      }
    });
}

/** Files of a home, those of its sessions aside. */
export function filesOf(home: string): string[] {
  return readdirSync(home, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith(join('sessions', 'local-')))
    .sort();
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // Closed meanwhile.
  }
}
