import { execFile } from 'node:child_process';

export interface Ran {
  /** Null: it could not be started, or took too long. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program of the system to its end, in English, for at most `timeoutMs`. Never rejects. */
export function runProgram(
  program: string,
  args: readonly string[],
  { env = process.env, timeoutMs = 30_000 }: { env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      {
        env: { ...env, LC_ALL: 'C' },
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
        windowsHide: true,
        maxBuffer: 4 << 20,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ code, stdout, stderr: stderr.trim() || (error?.message ?? '') });
      },
    );
  });
}
