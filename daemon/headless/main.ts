import { rmSync } from 'node:fs';
import { ConfigStore } from '../home/config.ts';
import { writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { acquireLock } from '../home/lock.ts';
import { keepLog, Log } from '../home/log.ts';
import { headlessLock } from '../process/headless-record.ts';
import { thisInstallation } from '../process/installation.ts';
import { guardianOf } from './crashed-daemon.ts';
import type { KeepLimits } from './keep-ended.ts';
import { usualLimits } from './keep-ended.ts';
import type { ConnectScreens } from './screen-messages.ts';
import { screensInWorker } from './screen-port.ts';
import { HeadlessServer } from './server.ts';

export interface RunHeadlessOptions {
  home: Home;
  generation: string;
  /** This machine's name. */
  machine: string;
  screens?: ConnectScreens;
  leaveAfterMs?: number;
}

const log = new Log('headless');

/**
 * Runs the headless server until `headless.stop` or SIGTERM, which both end its sessions, or until nobody needs it. Of
 * any number of servers of one generation one runs; the others find it and return at once. While it runs,
 * `home/headless/<generation>.json` says where it is.
 */
export async function runHeadless(options: RunHeadlessOptions): Promise<void> {
  const { home, generation, machine } = options;
  home.prepare();
  keepLog(home.path(`headless-${generation}.log`));
  const lock = await acquireLock(headlessLock(home, generation));
  if ('heldBy' in lock) {
    log.info(`the headless server ${generation} is running already`, { pid: lock.heldBy });
    return;
  }
  const place = home.path('headless', `${generation}.json`);
  const leave = options.leaveAfterMs === undefined ? {} : { leaveAfterMs: options.leaveAfterMs };
  const server = new HeadlessServer({
    home,
    generation,
    machine,
    screens: options.screens ?? screensInWorker(),
    guardian: guardianOf(home, log),
    keep: () => keepLimits(home),
    ...leave,
  });
  const stop = () => {
    log.info('SIGTERM: ending the sessions');
    server.goDown().catch((error: unknown) => log.error('the server could not end cleanly', { error }));
  };
  // A closed terminal or a Ctrl-C meant for others is no reason to end sessions.
  const ignore = () => undefined;
  // One request's defect must not take everybody's sessions along.
  const survive = (error: unknown) =>
    log.error('an unexpected error; the sessions live on', { error, stack: stackOf(error) });
  // Nor is the end of whoever reads what it logs.
  process.stderr.on('error', ignore);
  process.on('SIGTERM', stop);
  process.on('SIGINT', ignore);
  process.on('SIGHUP', ignore);
  process.on('uncaughtException', survive);
  process.on('unhandledRejection', survive);
  try {
    await server.start();
    server.prepare();
    const { socket, startedAt } = server;
    const record = { pid: process.pid, generation, ...thisInstallation, startedAt, socket };
    writeAtomically(place, `${JSON.stringify(record)}\n`);
    log.info(`the headless server ${generation} serves`, { socket, pid: process.pid });
    await server.done;
    log.info(`the headless server ${generation} has ended`);
  } finally {
    rmSync(place, { force: true });
    lock.release();
    process.stderr.off('error', ignore);
    process.off('SIGTERM', stop);
    process.off('SIGINT', ignore);
    process.off('SIGHUP', ignore);
    process.off('uncaughtException', survive);
    process.off('unhandledRejection', survive);
  }
}

/** As the settings say; those that cannot be read are the daemon's to complain of. */
function keepLimits(home: Home): KeepLimits {
  try {
    const { disk, keepSessions } = new ConfigStore(home).current;
    return { ...usualLimits, bytes: disk, sessions: keepSessions };
  } catch (error) {
    log.warn('the settings cannot be read; the usual limits count', { error });
    return usualLimits;
  }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}
