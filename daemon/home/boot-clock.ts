import { readFileSync } from 'node:fs';

/**
 * Milliseconds since the machine was booted, sleep included, the same for all of its processes. For deadlines that must
 * hold however long the machine slept. On Linux in steps of 10 ms.
 */
export function bootMs(): number {
  if (process.platform !== 'linux') {
    // What Node reads there counts sleep, and from the boot on (mach_continuous_time, QueryPerformanceCounter).
    return Number(process.hrtime.bigint() / 1000n) / 1000;
  }
  // Node's own clocks stand still while Linux sleeps.
  const [seconds] = readFileSync('/proc/uptime', 'latin1').split(' ');
  return Math.round(Number(seconds) * 1000);
}

/** Which boot the time of `bootMs` is of; empty where the system does not say. */
export function bootId(): string {
  return process.platform === 'linux' ? readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim() : '';
}
