import { NiiaError } from '../../shared/errors.ts';

/** What the choice depends on. */
export interface Choosable {
  readonly id: string;
  readonly name: string;
  readonly live: boolean;
}

/** The session that a command means when it names none, and the name of the one made for it. */
export const mainName = 'main';

/**
 * The session that is meant. `wanted` is an id or a name; a live session goes before an ended one of the same name, a
 * newer before an older. Without it: the session named `main`; else the only live one; else undefined, where one may be
 * created. Throws `no_such_session` and lists what there is. `sessions` are in the order of their creation.
 */
export function chooseSession<S extends Choosable>(
  sessions: readonly S[],
  wanted: string | undefined,
  create: boolean,
): S | undefined {
  const live = sessions.filter((session) => session.live);
  if (wanted !== undefined) {
    const byId = sessions.find((session) => session.id === wanted);
    const found = byId ?? byName(live, wanted) ?? byName(sessions, wanted);
    if (found) return found;
    throw noSuchSession(`there is no session ${wanted}`, live);
  }
  const main = byName(live, mainName);
  if (main) return main;
  if (live.length === 1) return live[0];
  if (live.length === 0) {
    if (create) return undefined;
    const ended = byName(sessions, mainName);
    if (ended) return ended;
  }
  throw noSuchSession(live.length === 0 ? 'no session is live' : 'it is not said which session', live);
}

function byName<S extends Choosable>(sessions: readonly S[], name: string): S | undefined {
  return sessions.findLast((session) => session.name === name);
}

function noSuchSession(what: string, live: readonly Choosable[]): NiiaError {
  const listed = live.map(({ id, name }) => (name === id ? id : `${name} (${id})`)).join(', ');
  return new NiiaError(
    'no_such_session',
    listed ? `${what}; live sessions: ${listed}` : what,
    listed ? 'Name one of them with --session.' : 'Start one with: niia new',
  );
}
