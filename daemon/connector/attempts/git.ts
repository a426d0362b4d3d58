import { execFile } from 'node:child_process';
import { isErrno } from '../../home/files.ts';
import { AttemptFailure } from './failure.ts';

const timeoutMs = 120_000;
const mostBytes = 64 << 20;

export interface GitOptions {
  cwd: string;
  env?: Record<string, string>;
  /** Words before the command. */
  config?: readonly string[];
}

/** Runs git and resolves with what it printed. Rejects with `GitError`; with `start_failed` where there is no git. */
export async function git(args: readonly string[], { cwd, env = {}, config = [] }: GitOptions): Promise<string> {
  const options = { cwd, env: { ...plainEnvironment(), ...env }, timeout: timeoutMs, maxBuffer: mostBytes };
  return await new Promise<string>((resolve, reject) => {
    execFile('git', [...config, ...args], options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      if (isErrno(error, 'ENOENT')) {
        return reject(new AttemptFailure('start_failed', 'a worktree needs git, and git is not installed here'));
      }
      reject(new GitError(args, stderr.trim() || error.message));
    });
  });
}

export class GitError extends Error {
  constructor(args: readonly string[], said: string) {
    super(`git ${args.slice(0, 2).join(' ')}: ${said.slice(0, 1000)}`);
    this.name = 'GitError';
  }
}

/** Nobody is asked anything, and no repository is meant but the folder's own. */
function plainEnvironment(): Record<string, string | undefined> {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_') && !name.startsWith('NIIA_'));
  return { ...Object.fromEntries(own), GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
}
