import type { StdioNull, StdioPipe } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';

/**
 * The master ends of terminals, which are not close-on-exec: a process that inherits one can read the terminal, and keeps
 * its program from being hung up when this process ends.
 */
const descriptors = new Set<number>();

/** No process that is started from here on by the functions below gets `descriptor`, until the result is called. */
export function keepPrivate(descriptor: number): () => void {
  descriptors.add(descriptor);
  return () => descriptors.delete(descriptor);
}

type Stdio = StdioNull | StdioPipe | number;

/** Starts a process by `start` with `stdio` for 0, 1 and 2; it has /dev/null in place of each private descriptor. */
export function withoutPrivate<T>(stdio: readonly [Stdio, Stdio, Stdio], start: (stdio: Stdio[]) => T): T {
  const nothing = openSync(devNull, 'r+');
  try {
    const all: Stdio[] = [...stdio];
    // Above 2 `ignore` leaves a number as it is.
    for (let fd = 3; fd <= highest(); fd++) all.push(descriptors.has(fd) ? nothing : 'ignore');
    return start(all);
  } finally {
    closeSync(nothing);
  }
}

/**
 * Starts a process in a new terminal by `start`, which is node-pty's. Its child marks what it inherits close-on-exec from
 * 3 up to the first number that is free there (pty.cc, `pty_close_inherited_fds`, without `close_range`), and the new
 * master's own number is free there: it has to lie above all that are private.
 */
export function abovePrivate<T>(start: () => T): T {
  const fillers: number[] = [];
  try {
    while (descriptors.size > 0 && (fillers.at(-1) ?? 0) < highest()) fillers.push(openSync(devNull, 'r'));
    return start();
  } finally {
    for (const filler of fillers) closeSync(filler);
  }
}

function highest(): number {
  return Math.max(0, ...descriptors);
}
