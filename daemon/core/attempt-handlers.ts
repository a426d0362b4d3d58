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
    'attempt.begin': async ({ params, source }) =>
      await attempts.begin(params, await wholeStream(source(streams.input), longestPrompt)),
    'attempt.end': async ({ params: { why, ...key } }) => ({ kept: await attempts.end(key, why) }),
    'attempt.lacks': async ({ params }) => ({ lacks: await attempts.lacks(params.programs) }),
  };
}
