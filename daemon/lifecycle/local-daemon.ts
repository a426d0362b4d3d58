import type { MethodName, ParamsOf, ResultOf } from '../../shared/protocol/methods.ts';
import { ask } from '../../shared/rpc/client.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import { processStart } from '../home/process-identity.ts';
import { version } from '../home/version.ts';
import { readDaemonRecord } from '../process/daemon-record.ts';
import { connectLocal } from '../process/local-socket.ts';

const pollMs = 10;

/** The pid of the daemon that runs for this home, whether it answers or not. */
export function daemonPid(home: Home): number | undefined {
  return lockHolder(home.path('daemon.lock'));
}

/** The entry point that the daemon runs from; undefined where it does not (yet) say. */
export function daemonEntry(home: Home): string | undefined {
  const record = readDaemonRecord(home);
  return record?.pid === daemonPid(home) ? record?.entry : undefined;
}

/** One question to the daemon over its local socket. Rejects with `daemon_not_running`, or whatever it answers. */
export async function askDaemon<M extends MethodName>(
  home: Home,
  method: M,
  params: ParamsOf<M>,
  deadlineMs: number,
): Promise<ResultOf<M>> {
  const peer = await connectLocal(home.socket('daemon'), { face: 'supervisor', software: version });
  try {
    return await ask(peer, method, params, { deadlineMs });
  } finally {
    peer.close();
  }
}

/**
 * Ends the daemon: it is asked by SIGTERM, and made to where that takes longer than `patienceMs`. The one that is to take
 * its place, `next`, is left alone: it may have done so already.
 */
export async function stopDaemon(home: Home, patienceMs: number, next?: number): Promise<void> {
  const pid = daemonPid(home);
  if (pid === undefined || pid === next) return;
  const started = processStart(pid);
  const same = (): boolean => started !== undefined && processStart(pid) === started;
  const until = performance.now() + patienceMs;
  let asked: NodeJS.Signals | undefined;
  while (same()) {
    const wanted = performance.now() < until ? 'SIGTERM' : 'SIGKILL';
    if (asked !== wanted) signalIfThere(pid, wanted);
    asked = wanted;
    await pause();
  }
}

/** It may end by itself, or by another hand, at any moment. */
export function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

export async function pause(ms = pollMs): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, ms));
}
