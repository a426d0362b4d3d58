import { NiiaError } from '../../shared/errors.ts';
import type { DaemonClient } from './daemon-client.ts';

/**
 * The session that a command is about, from `--session S` or an argument; undefined where none was named. The machine
 * of `MACHINE/ID` becomes the one that calls go to. Throws `usage` where two different ones are named.
 */
export function whichSession(daemon: DaemonClient, ...given: Array<string | undefined>): string | undefined {
  const [name, second] = given.filter((one) => one !== undefined);
  if (name === undefined) return undefined;
  if (second !== undefined && second !== name) {
    throw new NiiaError('usage', `two sessions are named: ${name} and ${second}`);
  }
  const at = name.indexOf('/');
  if (at < 0) return nonEmpty(name, name);
  const machine = nonEmpty(name.slice(0, at), name);
  if (daemon.machine !== undefined && daemon.machine !== machine) {
    throw new NiiaError('usage', `two machines are named: ${daemon.machine} and ${machine}`);
  }
  daemon.machine = machine;
  return nonEmpty(name.slice(at + 1), name);
}

/** As `whichSession`, where a session must be named. */
export function namedSession(daemon: DaemonClient, ...given: Array<string | undefined>): string {
  const session = whichSession(daemon, ...given);
  if (session === undefined)
    throw new NiiaError('usage', 'no session is named', 'Name one: --session S; see: niia list');
  return session;
}

function nonEmpty(part: string, whole: string): string {
  if (part === '') throw new NiiaError('usage', `"${whole}" names no session`, 'A session is S or MACHINE/S.');
  return part;
}
