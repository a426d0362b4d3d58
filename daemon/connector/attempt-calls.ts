import { NiiaError } from '../../shared/errors.ts';
import type { AttemptReport, Kept } from '../../shared/protocol/attempt-methods.ts';
import type { Attempt, CallState } from './core/decide.ts';

/** Codes of errors after which a machine is asked again: it did not say no. */
const again = new Set([
  'offline',
  'link_lost',
  'timeout',
  'busy',
  'cancelled',
  'daemon_not_running',
  'outcome_unknown',
]);

/** The calls to the machines of a run's attempts: which are on their way, and what became of them. */
export class AttemptCalls {
  readonly #now: () => number;
  readonly #changed: () => void;
  readonly #states = new Map<string, CallState>();

  /** `changed`: a call has come back. */
  constructor(now: () => number, changed: () => void) {
    this.#now = now;
    this.#changed = changed;
  }

  state(kind: 'begin' | 'end', attempt: Attempt): CallState | undefined {
    return this.#states.get(keyOf(kind, attempt));
  }

  begin(attempt: Attempt, call: () => Promise<AttemptReport>): void {
    void this.#run('begin', attempt, call);
  }

  /** `ended` is told what the machine kept. */
  end(attempt: Attempt, call: () => Promise<{ kept: Kept }>, ended: (kept: Kept) => Promise<void>): void {
    void this.#run('end', attempt, async () => await ended((await call()).kept));
  }

  /** Another coordinator may have asked meanwhile. */
  forget(): void {
    this.#states.clear();
  }

  async #run(kind: 'begin' | 'end', attempt: Attempt, call: () => Promise<unknown>): Promise<void> {
    const key = keyOf(kind, attempt);
    const before = this.#states.get(key);
    if (before?.running) return;
    const state: CallState = { running: true, triedAt: this.#now(), doneAt: before?.doneAt ?? null, refused: null };
    this.#states.set(key, state);
    try {
      await call();
      state.doneAt = this.#now();
    } catch (thrown) {
      const error = NiiaError.from(thrown);
      // A machine that has seen a later epoch says so too: what was asked of it will never be done.
      if (!again.has(error.code)) state.refused = error.message;
    } finally {
      state.running = false;
      this.#changed();
    }
  }
}

function keyOf(kind: string, { worker, epoch }: Attempt): string {
  return `${kind} ${epoch} ${worker}`;
}
