import { rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { entryPoint } from '../process/spawn.ts';
import { defineService } from './definition.ts';
import { Launchd } from './launchd.ts';
import { launcher, launcherName } from './launcher.ts';
import type { ServiceManager } from './manager.ts';
import { Systemd } from './systemd.ts';
import { TaskScheduler } from './task-scheduler.ts';

/** The service of this home with this system's manager. Throws `failed` where niia knows none. */
export function serviceOf(home: Home, env: NodeJS.ProcessEnv = process.env): ServiceManager {
  const definition = defineService({
    home: home.root,
    defaultHome: join(homedir(), '.niia'),
    node: [process.execPath],
    entry: home.path(launcherName),
    env,
  });
  switch (process.platform) {
    case 'linux':
      return new Systemd(definition, env);
    case 'darwin':
      return new Launchd(definition);
    case 'win32':
      return new TaskScheduler(definition);
    default:
      throw new NiiaError(
        'failed',
        `niia knows no service manager on ${process.platform}`,
        'Let what starts programs there run: niia daemon',
      );
  }
}

/** The service that was installed for this home, whatever it does now; undefined where there is none. */
export function installedService(home: Home): ServiceManager | undefined {
  let service: ServiceManager;
  try {
    service = serviceOf(home);
  } catch (error) {
    // Where none can be made, none is installed.
    if (error instanceof NiiaError) return undefined;
    throw error;
  }
  return readIfThere(service.file) === undefined ? undefined : service;
}

/** Writes the program that the service runs. */
export function writeLauncher(home: Home): void {
  writeAtomically(home.path(launcherName), launcher(entryPoint));
}

export function removeLauncher(home: Home): void {
  rmSync(home.path(launcherName), { force: true });
}
