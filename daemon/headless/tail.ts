import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import { LogPump } from './log-pump.ts';
import type { Session } from './session.ts';

/** Sends a session's raw output: what there is, and with `follow` what comes until it ends. */
export async function tail(
  session: Session,
  call: ServedCall<'session.tail'>,
  machine: string,
): Promise<ResultOf<'session.tail'>> {
  const { params, signal } = call;
  const { log } = session;
  const wanted = params.since ?? log.firstOffset;
  const start = Math.min(Math.max(wanted, log.firstOffset), log.end);
  call.emit({ type: 'start', session: session.id, machine, offset: start });
  if (start > wanted) call.emit({ type: 'gap', from: wanted, to: start });
  const stopAt = params.follow ? undefined : log.end;
  return await new Promise((resolve, reject) => {
    const finish = () => {
      pump.stop();
      unfollow();
      signal.removeEventListener('abort', aborted);
    };
    const aborted = () => {
      finish();
      reject(NiiaError.from(signal.reason));
    };
    const pump = new LogPump({
      log,
      sink: call.sink(streams.output),
      offset: start,
      limit: () => stopAt ?? log.end,
      reached: () => {
        if (stopAt === undefined && session.live) return false;
        finish();
        const { offset } = pump;
        resolve({ session: session.id, machine, offset, firstOffset: log.firstOffset, ...session.exit });
        return false;
      },
      dropped: (from, to) => call.emit({ type: 'gap', from, to }),
      failed: (error) => {
        finish();
        reject(error);
      },
    });
    const unfollow = session.follow({ output: () => pump.arrived(), ended: () => pump.pump() });
    signal.addEventListener('abort', aborted, { once: true });
    if (signal.aborted) aborted();
    else pump.pump();
  });
}
