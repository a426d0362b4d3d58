import type { ResultOf } from '../../shared/protocol/methods.ts';
import type { Session } from './session.ts';

/** What `session.explain` tells: of a session that has ended, its end. */
export function explained(session: Session): Omit<ResultOf<'session.explain'>, 'session' | 'machine'> {
  if (session.tracking) return session.tracking.explain();
  const { state, evidence } = session.state();
  return {
    ...{ state, evidence, stateEvidence: null, setting: 'ended', foreground: null, title: session.meta.title },
    ...{ rulesOf: null, quietMs: null, speaks: [], rules: [], warnings: [] },
  };
}
