import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isErrno } from '../home/files.ts';
import { ofProcess } from './process-table.ts';

/** How the names of cgroups begin that hold one session. */
export const sessionCgroup = 'niia-session-';

/** Folder and name of this process's cgroup, where the system has version 2. */
export function ownCgroup(): { folder: string; path: string } | undefined {
  if (process.platform !== 'linux') return undefined;
  const path = cgroupOf(process.pid);
  const mounts = ofProcess(process.pid, 'mountinfo') ?? '';
  for (const line of mounts.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root, point] = before.split(' ');
    if (!after.startsWith('cgroup2 ') || root === undefined || point === undefined || path === undefined) continue;
    const below = root === '/' ? path : path.startsWith(root) ? path.slice(root.length) : undefined;
    if (below !== undefined) return { folder: join(point, below), path };
  }
  return undefined;
}

/** The cgroup (v2) of a process, as the system names it. */
export function cgroupOf(pid: number): string | undefined {
  return ofProcess(pid, 'cgroup')
    ?.split('\n')
    .find((line) => line.startsWith('0::'))
    ?.slice(3);
}

/** What is started from inside a session and is to outlive it leaves the session's cgroup, where that has one. */
export function leaveSessionCgroup(pid: number): void {
  const own = ownCgroup();
  if (!own || !basename(own.path).startsWith(sessionCgroup)) return;
  try {
    writeFileSync(join(dirname(own.folder), 'cgroup.procs'), String(pid));
  } catch (error) {
    // It has ended already, or may not leave: then it stays and stops with the session.
    if (!isErrno(error)) throw error;
  }
}
