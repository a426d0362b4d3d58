import { claude } from './claude.ts';
import { codex } from './codex.ts';
import type { Driver } from './driver.ts';
import { exec } from './exec.ts';
import { gemini } from './gemini.ts';
import { generic } from './generic.ts';
import { shell } from './shell.ts';

const drivers: readonly Driver[] = [claude, codex, gemini, shell, exec, generic];

/** Workers that `niia new --worker` can start by name. */
export const workerNames: readonly string[] = drivers.map(({ name }) => name);

export function driverNamed(name: string): Driver | undefined {
  return drivers.find((driver) => driver.name === name);
}

/**
 * The driver of a session: of the worker that its starter named, else of the program that the rules found to be in
 * front, else by the command. A name that only the user's own rules know gets the generic one.
 */
export function driverFor(worker: string | null, seen: string | null, isShell: boolean): Driver {
  const named = worker === null ? undefined : driverNamed(worker);
  if (named && named !== shell) return named;
  const found = seen === null ? undefined : driverNamed(seen);
  if (found && found !== shell && found !== exec) return found;
  return named ?? (isShell ? shell : generic);
}
