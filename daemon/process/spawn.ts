import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { leaveSessionCgroup } from './cgroups.ts';
import { withoutPrivate } from './private-descriptors.ts';

/** The product's entry point, as this process runs it. */
export const entryPoint = fileURLToPath(new URL('./niia.js', import.meta.url));

/**
 * Starts another process of the product in the background: in its own process group and without a terminal, so that
 * neither a closed window nor the end of this process touches it. Its output is appended to `logFile`. `entry` is the
 * entry point of the installation whose code it runs.
 */
export function spawnDetached(
  args: readonly string[],
  logFile: string,
  env: NodeJS.ProcessEnv = process.env,
  entry: string = entryPoint,
): number {
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = withoutPrivate(['ignore', log, log], (stdio) =>
      spawn(process.execPath, [...nodeFlags(), entry, ...args], {
        ...{ detached: true, stdio, env: ofNoSession(env) },
        ...{ cwd: '/', windowsHide: true },
      }),
    );
    child.unref();
    if (child.pid === undefined) throw new Error(`${process.execPath} could not be started`);
    leaveSessionCgroup(child.pid);
    return child.pid;
  } finally {
    closeSync(log);
  }
}

/** Wherever it is started from, it is no part of that session, and does not end or stop with it. */
function ofNoSession(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NIIA_SESSION: _, NIIA_SESSION_TOKEN: __, NIIA_SOCKET: ___, ...others } = env;
  return others;
}

function nodeFlags(): string[] {
  return process.execArgv.filter((flag) => !flag.startsWith('--inspect'));
}
