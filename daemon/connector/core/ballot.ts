import type { MessageOf, Position, SavedBallot } from './messages.ts';
import { isBefore } from './messages.ts';
import type { ReplicaTiming } from './timing.ts';

/** What a voter has promised: its term, its vote in it, and to leave a leader alone that it heard a moment ago. */
export class Ballot {
  #term: number;
  #vote: string | null;
  #heardAt: number;
  readonly #quietMs: number;
  /** Something changed that is not on disk yet. */
  #changed = false;

  /** `now`: it may have heard a leader right before it was started, and does not remember. */
  constructor({ term, vote }: SavedBallot, now: number, timing: ReplicaTiming) {
    this.#term = term;
    this.#vote = vote;
    this.#heardAt = term > 0 ? now : Number.NEGATIVE_INFINITY;
    this.#quietMs = timing.electionMs[0];
  }

  get term(): number {
    return this.#term;
  }

  /** The leader of its term has spoken. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** A later term than its own has begun. */
  raise(term: number): void {
    if (term <= this.#term) return;
    this.#term = term;
    this.#vote = null;
    this.#changed = true;
  }

  /** Stands for election in the next term. */
  stand(self: string): void {
    this.raise(this.#term + 1);
    this.#vote = self;
  }

  /** Whether `from`, whose journal ends at `asked.last`, gets its vote; `last`: where the voter's own ends. */
  ask(from: string, asked: MessageOf<'ask-vote'>, last: Position, now: number): MessageOf<'vote'> {
    const granted = this.#grants(from, asked, last, now);
    return { is: 'vote', term: this.#term, asked: asked.term, trial: asked.trial, granted };
  }

  #grants(from: string, { term, trial, last: theirs }: MessageOf<'ask-vote'>, last: Position, now: number): boolean {
    if (now < this.#heardAt + this.#quietMs) return false;
    if (trial) return term > this.#term && !isBefore(theirs, last);
    this.raise(term);
    if (term < this.#term || isBefore(theirs, last)) return false;
    if (this.#vote !== null && this.#vote !== from) return false;
    this.#vote = from;
    this.#changed = true;
    return true;
  }

  /** What has to be on disk before anything is said; undefined where it is. */
  take(): SavedBallot | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return { term: this.#term, vote: this.#vote };
  }
}
