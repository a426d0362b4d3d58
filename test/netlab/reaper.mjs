// Ends what still runs in a lab's network namespaces when its standard input ends: a lab that is closed closes it, and so
// does the kernel when the test run is killed. Each line of input names one namespace, as /proc/PID/ns/net has it, and PID.
import { openSync, readdirSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

// Ctrl-C and the like mean the test run, not this process, which outlives it by a moment.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);

const namespaces = new Set();
for await (const line of createInterface(process.stdin)) {
  const [id, pid] = line.split(' ');
  namespaces.add(id);
  try {
    // Held open, it lives as long as this process: the name of one that is gone is given to the next that is made.
    openSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

for (;;) {
  const pids = inhabitants();
  if (pids.length === 0) break;
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
  await pause(2);
}

/** Zombies are none: they have left their namespaces. */
function inhabitants() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return namespaces.has(readlinkSync(`/proc/${pid}/ns/net`));
      } catch {
        return false; // It ended meanwhile, or is another user's: not ours in either case.
      }
    })
    .map(Number);
}
