import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import type { Check, Finding } from '../check.ts';
import { fail, pass, skip, warn } from '../check.ts';

export interface ClockFacts {
  /** Milliseconds since 1970, by this machine. */
  now: number;
  /** The gateway's clock against ours, where it was asked: positive where ours is late, milliseconds. */
  aheadMs: number | null;
  /** How much the clock was set since the daemon started, milliseconds; null where that cannot be told. */
  jumpedMs: number | null;
  /** How long the computer slept since it was started, milliseconds; null where that cannot be told. */
  sleptMs: number | null;
}

/** The Date header and the way there leave this much open. */
const unsureMs = 5_000;
/** Half of an invite's usual life: beyond this, invites look expired and certificates not valid yet. */
const harmfulMs = 5 * 60_000;
/** No niia is older. */
const earliest = Date.UTC(2025, 0, 1);

const mend = 'timedatectl set-ntp true    (or set the clock by hand)';

export function judgeClock({ now, aheadMs, jumpedMs, sleptMs }: ClockFacts): Finding {
  if (now < earliest) return fail(`the clock says ${new Date(now).toISOString()}`, mend);
  const off = Math.abs(aheadMs ?? 0);
  const way = (aheadMs ?? 0) > 0 ? 'late' : 'early';
  if (off > harmfulMs) return fail(`the clock is ${span(off)} ${way} by the gateway's`, mend);
  if (off > unsureMs) return warn(`the clock is ${span(off)} ${way} by the gateway's`, mend);
  if (Math.abs(jumpedMs ?? 0) > unsureMs) {
    return warn(`the clock was set by ${span(Math.abs(jumpedMs ?? 0))} since the daemon started`, mend);
  }
  const slept = sleptMs !== null && sleptMs > 60_000 ? `; the computer slept ${span(sleptMs)} since its start` : '';
  if (aheadMs === null) return skip(`nobody to compare the clock with${slept}`);
  return pass(`as the gateway's, to within ${span(Math.max(off, 1_000))}${slept}`);
}

function span(ms: number): string {
  const s = Math.round(ms / 1_000);
  return s < 120 ? `${s} s` : s < 7_200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3_600)} h`;
}

export const checkClock: Check = async ({ daemon, gateway }) => {
  const [{ status }, { embedded, direct, proxied }] = await Promise.all([daemon(), gateway()]);
  // Our own gateway has our own clock.
  const aheadMs = embedded ? null : (direct?.aheadMs ?? proxied?.aheadMs ?? null);
  const jumpedMs = status ? jumped(status.pid, Date.parse(status.startedAt)) : null;
  // Only the clock of `uptime` runs on while the computer sleeps.
  const sleptMs = process.platform === 'linux' ? uptime() * 1_000 - Number(process.hrtime.bigint() / 1_000_000n) : null;
  return judgeClock({ now: Date.now(), aheadMs, jumpedMs, sleptMs });
};

const ticksPerSecond = 100;

/** How much longer a process has run by the clock on the wall than by the one that nobody sets (proc(5)). */
function jumped(pid: number, startedAt: number): number | null {
  if (process.platform !== 'linux') return null;
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const started = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) / ticksPerSecond;
  const ranMs = (uptime() - started) * 1_000;
  const byWall = Date.now() - startedAt;
  // It notes its start a moment after it was started, on a busy machine several.
  const difference = byWall - ranMs;
  return difference < 0 && difference > -60_000 ? 0 : difference;
}
