import { NiiaError } from '../../shared/errors.ts';
import type { MethodName } from '../../shared/protocol/methods.ts';
import type { Config } from '../home/config.ts';

type Right = 'see' | 'prompt';

/** What is served on a session's own socket. Whatever is not named here is not: approving, typing, starting, settings. */
const rights: Partial<Record<MethodName, Right>> = {
  'daemon.status': 'see',
  'machine.list': 'see',
  'machine.watch': 'see',
  'team.show': 'see',
  'headless.info': 'see',
  'session.list': 'see',
  'session.watch': 'see',
  'session.read': 'see',
  'session.tail': 'see',
  'session.wait': 'see',
  'session.explain': 'see',
  'session.report': 'see',
  'session.approvals': 'see',
  'session.prompt': 'prompt',
  'session.answer': 'prompt',
};

/** Throws `denied` unless a program inside the session `session` may have `method`, on this machine or on another. */
export function authorizeSession(method: MethodName, params: unknown, session: string, config: Config): void {
  const readsOnly =
    method === 'session.attach' && field(params, 'readOnly') === true && field(params, 'create') !== true;
  const right = readsOnly ? 'see' : rights[method];
  const hint = "It speaks for its own session only; a person's terminal may.";
  if (right === undefined) {
    throw new NiiaError('denied', `a program inside the session ${session} may not use ${method}`, hint);
  }
  if (method === 'session.report' && field(params, 'session') !== session) {
    throw new NiiaError('denied', `a program inside the session ${session} reports for that session only`, hint);
  }
  if (right === 'prompt' && config.workers !== 'prompt') {
    throw new NiiaError(
      'denied',
      `workers of this machine may not prompt each other: ${method} was refused to the session ${session}`,
      'Its owner can allow it: niia config set workers prompt',
    );
  }
}

function field(params: unknown, name: string): unknown {
  return typeof params === 'object' && params !== null && name in params
    ? params[name as keyof typeof params]
    : undefined;
}
