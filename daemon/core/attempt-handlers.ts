import type { attemptMethods } from '../../shared/protocol/attempt-methods.ts';
import type { DaemonMethod } from '../../shared/protocol/methods.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Handlers } from '../../shared/rpc/server.ts';
import type { Attempts } from '../connector/attempts/attempts.ts';

type AttemptMethod = Extract<DaemonMethod, keyof typeof attemptMethods>;

export function attemptHandlers({ attempts }: { attempts: Attempts }): Handlers<AttemptMethod, Principal> {
  return {
    'attempt.begin': ({ params, body }) => attempts.begin(params, body),
    'attempt.end': async ({ params: { why, ...key } }) => ({ kept: await attempts.end(key, why) }),
    'attempt.lacks': async ({ params }) => ({ lacks: await attempts.lacks(params.programs) }),
  };
}
