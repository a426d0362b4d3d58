import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey } from '../../../shared/protocol/attempt-methods.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import type { Log } from '../../home/log.ts';
import { abortable, pause } from './abortable.ts';
import { AttemptFailure } from './failure.ts';
import type { WorkerSessions } from './worker-sessions.ts';

/** After what failed only for now, milliseconds. */
export const retryMs = 500;

/** How an attempt waits for its sessions, and for what fails only for now. */
export class SessionWaits {
  readonly #sessions: Pick<WorkerSessions, 'find' | 'watch'>;
  readonly #key: AttemptKey;
  readonly #log: Log;

  constructor(sessions: Pick<WorkerSessions, 'find' | 'watch'>, key: AttemptKey, log: Log) {
    this.#sessions = sessions;
    this.#key = key;
    this.#log = log;
  }

  /** Tries again what fails only for now: a headless server that starts, or another machine that does not answer. */
  async patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await abortable(work(), signal);
      } catch (error) {
        if (signal.aborted || error instanceof AttemptFailure || !isPassing(NiiaError.from(error))) throw error;
        this.#log.debug('what failed for now is tried again', { ...this.#key, error });
      }
      await pause(retryMs, signal);
    }
  }

  /** The session of this id. Throws `crash` where there is none any more. */
  async find(session: string, signal: AbortSignal): Promise<SessionInfo> {
    const info = await this.patiently(signal, () => this.#sessions.find(({ id }) => id === session));
    if (!info) throw new AttemptFailure('crash', 'its session is no more');
    return info;
  }

  /** Resolves with what is known of the session once `holds` says so; asked at each change. */
  async until(session: string, signal: AbortSignal, holds: (info: SessionInfo) => boolean): Promise<SessionInfo> {
    for (;;) {
      const changed = this.#nextChange(signal);
      try {
        const info = await this.find(session, signal);
        if (holds(info)) return info;
        if (info.state === 'exited') throw new AttemptFailure('crash', `its program ended: ${info.evidence}`);
        await changed.happened;
      } finally {
        changed.forget();
      }
    }
  }

  #nextChange(signal: AbortSignal): { happened: Promise<void>; forget: () => void } {
    let unwatch: () => void = () => undefined;
    const change = new Promise<void>((resolve) => {
      unwatch = this.#sessions.watch(resolve);
    });
    const happened = abortable(change, signal);
    // Nobody may wait for it by then.
    happened.catch(() => undefined);
    return { happened, forget: () => unwatch() };
  }
}

function isPassing({ code }: NiiaError): boolean {
  return ['link_lost', 'offline', 'timeout', 'busy', 'cancelled'].includes(code);
}
