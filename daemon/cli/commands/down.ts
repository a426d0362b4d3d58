import { readdirSync, rmSync } from 'node:fs';
import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';
import { ask } from '../../../shared/rpc/client.ts';
import { isErrno, readIfThere } from '../../home/files.ts';
import { lockHolder } from '../../home/lock.ts';
import { version } from '../../home/version.ts';
import { daemonRecordFile } from '../../process/daemon-record.ts';
import { connectLocal } from '../../process/local-socket.ts';
import type { Context, Run } from '../context.ts';
import { count } from '../format.ts';
import { pause } from '../retry.ts';
import { runningDaemon } from '../running-daemon.ts';
import type { Specs } from '../specs/all.ts';
import { processGone, upgradeDecided } from '../start-daemon.ts';

/** What `down` ended: the daemon's process, if it ran, and how many sessions. */
interface Ended {
  pid: number | null;
  sessionsEnded: number;
  sessionsLeft: number;
}

export const down: Run<Specs['down']> = async ({ options: { sessions } }, context) => {
  // The supervisor of an upgrade would take a daemon that ends for one that failed.
  await upgradeDecided(context.home, context.deadline);
  const status = await daemonToStop(context);
  const ended: Ended = status
    ? await stopDaemon(sessions, status, context)
    : { pid: null, sessionsEnded: sessions ? await stopServers(context) : 0, sessionsLeft: 0 };
  await context.out.result({ stopped: ended.pid !== null, ...ended }, () => told(ended));
  await tellOfService(context);
};

/** A clean stop is no failure to the service's manager; but at the next login it starts the machine again. */
async function tellOfService({ home, out }: Context): Promise<void> {
  if (out.json) return;
  const { installedService } = await import('../../service/service.ts');
  const service = installedService(home);
  if (!service) return;
  await out.advice(
    `Its service (${service.name}) starts it again at the next login; to end that: niia service uninstall`,
  );
}

const pollMs = 20;

/** The daemon that runs, or is just being brought back; one that crashed is not brought back after this. */
async function daemonToStop({ home, daemon, deadline }: Context): Promise<DaemonStatus | undefined> {
  for (;;) {
    const status = await runningDaemon(daemon);
    if (status) return status;
    if (lockHolder(home.path('daemon.lock')) === undefined) {
      rmSync(daemonRecordFile(home), { force: true });
      return undefined;
    }
    await pause(Math.min(pollMs, deadline.leftMs ?? pollMs));
  }
}

async function stopDaemon(sessions: boolean, status: DaemonStatus, { daemon, deadline }: Context): Promise<Ended> {
  const { pid, sessionsEnded, serversEnded } = await daemon.ask('daemon.stop', { sessions });
  daemon.close();
  await processGone(pid, deadline);
  const servers = sessions ? status.headless.map((server) => server.pid) : serversEnded;
  for (const server of servers) await processGone(server, deadline);
  return { pid, sessionsEnded, sessionsLeft: sessions ? 0 : status.sessions };
}

function told({ pid, sessionsEnded, sessionsLeft }: Ended): string {
  const parts = [pid === null ? 'niia was not running' : `niia is down (daemon ${pid})`];
  if (sessionsEnded > 0) parts.push(`${count(sessionsEnded, 'session')} ended`);
  if (sessionsLeft > 0)
    parts.push(
      `${count(sessionsLeft, 'session')} ${sessionsLeft === 1 ? 'lives' : 'live'} on; niia up finds them again`,
    );
  return `${parts.join('; ')}\n`;
}

const recordSchema = v.object({ generation: v.string(), pid: v.number() });

/** Ends the headless servers that outlived their daemon, and with them their sessions. */
async function stopServers({ home, deadline }: Context): Promise<number> {
  let ended = 0;
  for (const file of recordsIn(home.path('headless'))) {
    const text = readIfThere(home.path('headless', file));
    if (text === undefined) continue;
    const { generation, pid } = v.parse(recordSchema, JSON.parse(text));
    try {
      const peer = await connectLocal(home.socket(`headless-${generation}`), { face: 'cli', software: version });
      try {
        ended += (await ask(peer, 'headless.stop', {}, { deadlineMs: deadline.leftMs })).ended;
      } finally {
        peer.close();
      }
    } catch (error) {
      // A record without a listener is what a killed server leaves behind.
      if (error instanceof NiiaError && error.code === 'daemon_not_running') continue;
      throw error;
    }
    await processGone(pid, deadline);
  }
  return ended;
}

function recordsIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
