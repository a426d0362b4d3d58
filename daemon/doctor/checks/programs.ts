import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { userInfo } from 'node:os';
import { isErrno } from '../../home/files.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, warn } from '../check.ts';

const leastNode = 20;

export function judgeNode(version: string): Finding {
  const major = Number(/^v?(\d+)/.exec(version)?.[1] ?? 0);
  if (major >= leastNode) return pass(`Node ${version}`);
  return fail(`Node ${version} is too old: niia needs ${leastNode} or later`, 'Install a later Node (nodejs.org)');
}

export const checkNode: Check = () => Promise.resolve(judgeNode(process.version));

export interface ShellFacts {
  shell: string;
  runnable: boolean;
  /** Its exit code for `exit 0`; null where it did not end in time or was killed. */
  code: number | null;
  tookMs: number;
  path: string | undefined;
}

const slowMs = 2_000;

export function judgeShell({ shell, runnable, code, tookMs, path }: ShellFacts): Finding {
  if (!runnable)
    return fail(`the shell ${shell} cannot be run: no session starts without a command`, 'chsh, or set SHELL');
  if (code === null) return fail(`the shell ${shell} does not come to an end`, 'Look at what it reads when it starts');
  if (code !== 0)
    return fail(`the shell ${shell} ends with ${code} whatever it is asked`, 'Look at what it reads when it starts');
  if (!path) return warn('PATH is empty: sessions find no programs', 'Set PATH where the daemon is started');
  if (tookMs > slowMs)
    return warn(
      `the shell ${shell} takes ${(tookMs / 1_000).toFixed(1)} s to start`,
      'Look at what it reads when it starts',
    );
  return pass(`${shell}, ${Math.round(tookMs)} ms`);
}

const shellMs = 5_000;

export const checkShell: Check = async ({ env, signal }) => {
  const windows = process.platform === 'win32';
  const shell = windows ? env['ComSpec'] || 'cmd.exe' : env['SHELL'] || userInfo().shell || '/bin/sh';
  const path = env['PATH'] ?? env['Path'];
  const runnable = windows || isRunnable(shell);
  if (!runnable) return judgeShell({ shell, runnable, code: null, tookMs: 0, path });
  const startedAt = performance.now();
  const code = await new Promise<number | null>((resolve) => {
    const args = windows ? ['/d', '/c', 'exit 0'] : ['-c', 'exit 0'];
    execFile(shell, args, { timeout: shellMs, killSignal: 'SIGKILL', signal, env }, (error) =>
      resolve(error === null ? 0 : typeof error.code === 'number' ? error.code : null),
    );
  });
  return judgeShell({ shell, runnable, code, tookMs: performance.now() - startedAt, path });
};

function isRunnable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}
