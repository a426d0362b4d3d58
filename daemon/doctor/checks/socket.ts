import { statSync } from 'node:fs';
import type { NiiaError } from '../../../shared/errors.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, quote, warn } from '../check.ts';

export interface SocketFacts {
  path: string;
  /** Undefined where there is no such file. */
  file: { isSocket: boolean; mode: number; uid: number } | undefined;
  uid: number;
  /** Who holds the daemon's lock. */
  pid: number | undefined;
  answers: boolean;
  error: NiiaError | undefined;
}

export function judgeSocket({ path, file, uid, pid, answers, error }: SocketFacts): Finding {
  if (answers && file && (file.mode & 0o077) !== 0)
    return fail(`${path} is open to others`, `chmod 600 ${quote(path)}`);
  if (answers) return pass(`the daemon (pid ${pid ?? '-'}) answers on ${path}`);
  if (error?.code === 'version_mismatch') return fail(error.message, error.hint ?? 'niia down; niia up');
  if (pid !== undefined) {
    return fail(
      `the daemon (pid ${pid}) runs but does not answer on ${path}: ${error?.message ?? 'no reason is known'}`,
      `kill ${pid}; niia up    (sessions live on)`,
    );
  }
  if (file && !file.isSocket) return fail(`${path} is in the way: it is no socket`, `rm ${quote(path)}; niia up`);
  if (file && file.uid !== uid) return fail(`${path} belongs to another user`, `sudo rm ${quote(path)}; niia up`);
  if (file) return warn(`no daemon runs; one that was killed left ${path} behind`, 'niia up');
  return warn('no daemon runs', 'niia up');
}

export const checkSocket: Check = async ({ home, daemon }) => {
  const path = home.socket('daemon');
  const { pid, status, error } = await daemon();
  // A named pipe on Windows is no file.
  const stat = process.platform === 'win32' ? undefined : statSync(path, { throwIfNoEntry: false });
  const file = stat && { isSocket: stat.isSocket(), mode: stat.mode, uid: stat.uid };
  return judgeSocket({ path, file, uid: process.getuid?.() ?? 0, pid, answers: status !== undefined, error });
};
