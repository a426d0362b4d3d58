import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

/** Loaded into a command before its own code. */
const code = `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const whole = fs.createReadStream;
  async function* half(path, end) {
    yield* whole(path, { start: 0, end });
    process.kill(process.pid, 'SIGSTOP');
    yield* whole(path, { start: end + 1 });
  }
  fs.createReadStream = (path, options) =>
    options?.start === 0 ? half(path, Math.floor(fs.statSync(path).size / 2)) : whole(path, options);
  syncBuiltinESMExports();
`;

/**
 * The environment of an upgrade command that stops itself, as by SIGSTOP, once it has read half of the bundle that it
 * sends. However quick machine and link are, the transfer is then half done, and remains so until SIGCONT.
 */
export const halfSent: NodeJS.ProcessEnv = {
  NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(code).toString('base64')}`,
};

/** Resolves once the command has stopped itself and the other side has some of the bytes: `received` says how many. */
export async function stoppedHalfway(command: ChildProcess, received: () => number): Promise<void> {
  const state = (): string | undefined =>
    /^State:\s+(\S)/m.exec(readFileSync(`/proc/${command.pid}/status`, 'utf8'))?.[1];
  await expect.poll(state, { timeout: 100_000, interval: 5 }).toBe('T');
  await expect.poll(received, { timeout: 100_000, interval: 5 }).toBeGreaterThan(0);
}
