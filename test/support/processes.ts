import { readdirSync, readFileSync } from 'node:fs';
import type { TestMachine } from './machine.ts';

/** Pids of the WebRTC helpers of a machine's daemon. */
export function webRtcHelpers(machine: TestMachine): number[] {
  const daemon = machine.daemonPid;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        return (
          Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) === daemon &&
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('webrtc')
        );
      } catch {
        return false; // It ended meanwhile.
      }
    });
}
