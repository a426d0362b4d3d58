import { NiiaError } from '../../shared/errors.ts';
import type { ParsedParamsOf, ResultOf } from '../../shared/protocol/methods.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import { LineText } from './line-text.ts';
import { Pattern } from './pattern.ts';
import type { Session } from './session.ts';

type Until = ParsedParamsOf<'session.wait'>['until'];

/** While output comes, the screen is looked at this often: programs that draw say there what their output does not. */
const lookAgainMs = 200;
const readBytes = 64 << 10;

/** Waits until the condition holds. Rejects with the call's reason when nobody waits any more. */
export async function wait(
  session: Session,
  call: Pick<ServedCall<'session.wait'>, 'params' | 'signal'>,
  machine: string,
): Promise<ResultOf<'session.wait'>> {
  const match = await until(session, call.params.until, call.signal);
  const { state, evidence } = session.state();
  return { session: session.id, machine, state, evidence, offset: session.log.end, match, ...session.exit };
}

async function until(session: Session, condition: Until, signal: AbortSignal): Promise<string | null> {
  switch (condition.type) {
    case 'idle':
      await holds(session, signal, (check) => {
        const left = condition.ms - (session.now - session.lastActivity);
        if (!session.live || (left <= 0 && !session.lease.frozen)) return true;
        check.after(left);
        return false;
      });
      return null;
    case 'exit':
      await holds(session, signal, () => !session.live);
      return null;
    case 'state':
      await holds(session, signal, () => {
        if (session.state().state === condition.state) return true;
        if (!session.live) throw session.endedError();
        return false;
      });
      return null;
    case 'match':
      return await matched(session, new Pattern(condition.pattern), condition.since, signal);
  }
}

interface Check {
  /** Looks again after so many milliseconds, whatever happens. */
  after(ms: number): void;
}

/** Resolves once `test` says so; it is asked now, whenever the session has output, and at its end. */
async function holds(session: Session, signal: AbortSignal, test: (check: Check) => boolean): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let unfollow: () => void = () => undefined;
  let aborted: () => void = () => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        try {
          if (test({ after })) resolve();
        } catch (error) {
          reject(NiiaError.from(error));
        }
      };
      const after = (ms: number) => {
        clearTimeout(timer);
        timer = setTimeout(look, Math.min(Math.ceil(ms), 2 ** 31 - 1));
      };
      aborted = () => reject(NiiaError.from(signal.reason));
      signal.addEventListener('abort', aborted, { once: true });
      if (signal.aborted) aborted();
      unfollow = session.follow({ output: look, stateChanged: look, ended: look });
      look();
    });
  } finally {
    clearTimeout(timer);
    unfollow();
    signal.removeEventListener('abort', aborted);
  }
}

async function matched(
  session: Session,
  pattern: Pattern,
  since: number | undefined,
  signal: AbortSignal,
): Promise<string> {
  const text = new LineText();
  let offset = since ?? session.log.end;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let screenOffset = -1;
  for (;;) {
    if (signal.aborted) throw NiiaError.from(signal.reason);
    const over = !session.live;
    const found = since === undefined && screenOffset < session.log.end && due(lookedAt, over) ? await look() : null;
    if (found !== null) return found;
    while (offset < session.log.end && !signal.aborted) {
      const { from, bytes } = await session.log.read(offset, readBytes);
      offset = from + bytes.length;
      const match = pattern.find([...text.add(bytes), text.rest]);
      if (match !== null) return match;
      // Others get their turn between two pieces of a long log.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (over) {
      const ended = session.endedError();
      throw new NiiaError(ended.code, `${ended.message}; nothing it wrote matched`, ended.hint);
    }
    await moved();
  }

  async function look(): Promise<string | null> {
    // The first look waits for what is still to be drawn; later ones take the screen as it is.
    const screen = screenOffset < 0 ? await session.text(0) : await session.text(0, 0);
    lookedAt = performance.now();
    screenOffset = screen.offset;
    return pattern.find(screen.lines);
  }

  /** The log has grown, the session has ended, or the screen may be looked at again. */
  async function moved(): Promise<void> {
    const wantsLook = since === undefined && screenOffset < session.log.end;
    const from = performance.now();
    await holds(session, signal, (check) => {
      if (session.log.end > offset || !session.live) return true;
      if (!wantsLook) return false;
      const left = lookAgainMs - (from - lookedAt) - (performance.now() - from);
      if (left <= 0) return true;
      check.after(left);
      return false;
    });
  }
}

function due(lookedAt: number, over: boolean): boolean {
  return over || performance.now() - lookedAt >= lookAgainMs;
}
