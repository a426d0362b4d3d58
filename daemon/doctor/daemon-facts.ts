import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import { ask } from '../../shared/rpc/client.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import { version } from '../home/version.ts';
import { connectLocal } from '../process/local-socket.ts';

/** What there is to see of the daemon from outside. */
export interface DaemonFacts {
  /** Who holds the daemon's lock. */
  pid: number | undefined;
  /** What it answers; undefined where it does not. */
  status: DaemonStatus | undefined;
  /** Why not. */
  error: NiiaError | undefined;
}

const answerMs = 3_000;

export async function daemonFacts(home: Home): Promise<DaemonFacts> {
  const pid = lockHolder(home.path('daemon.lock'));
  try {
    return { pid, status: await statusOf(home), error: undefined };
  } catch (error) {
    return { pid, status: undefined, error: NiiaError.from(error) };
  }
}

async function statusOf(home: Home): Promise<DaemonStatus> {
  const peer = await connectLocal(home.socket('daemon'), { face: 'cli', software: version });
  try {
    return await ask(peer, 'daemon.status', {}, { deadlineMs: answerMs });
  } finally {
    peer.close();
  }
}
