import { NiiaError } from '../../shared/errors.ts';
import type { attemptMethods } from '../../shared/protocol/attempt-methods.ts';
import type { DaemonMethod } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Handlers } from '../../shared/rpc/server.ts';
import { wholeStream } from '../../shared/rpc/whole-stream.ts';
import type { Attempts } from '../connector/attempts/attempts.ts';

type AttemptMethod = Extract<DaemonMethod, keyof typeof attemptMethods>;

/** Bytes: what a prompt and the outputs that it quotes may be long. */
const longestPrompt = 16 << 20;

export function attemptHandlers({ attempts }: { attempts: Attempts }): Handlers<AttemptMethod, Principal> {
  return {
    'attempt.begin': async ({ params, source }, asker) => {
      mustCoordinate(asker, params.coordinators);
      mustCoordinate(asker, attempts.coordinatorsOf(params));
      return await attempts.begin(params, await wholeStream(source(streams.input), longestPrompt));
    },
    'attempt.end': async ({ params: { why, ...key } }, asker) => {
      mustCoordinate(asker, attempts.coordinatorsOf(key));
      return { kept: await attempts.end(key, why) };
    },
    'attempt.lacks': async ({ params }) => ({ lacks: await attempts.lacks(params.programs) }),
  };
}

/** A machine tells for its own runs only; `coordinators`: those of the run, where they are known. */
function mustCoordinate({ kind, id, name }: Principal, coordinators: readonly string[] | undefined): void {
  if (kind === 'local' || coordinators === undefined || coordinators.includes(id)) return;
  throw new NiiaError('denied', `${name} does not coordinate that run`);
}
