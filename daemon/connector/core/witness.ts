import * as v from 'valibot';
import { Ballot } from './ballot.ts';
import type { ReplicaMessage } from './messages.ts';
import { ballotSchema, isBefore, positionSchema } from './messages.ts';
import type { ReplicaTiming } from './timing.ts';
import { usualTiming } from './timing.ts';

export const savedWitnessSchema = v.object({ ...ballotSchema.entries, last: positionSchema });
export type SavedWitness = v.InferOutput<typeof savedWitnessSchema>;
export const freshWitness: SavedWitness = { term: 0, vote: null, last: { index: 0, term: 0 } };

/**
 * A voter that remembers how far the journal goes and holds none of it. It follows a leader to positions of the leader's
 * own term only: these come after all that was elected before, so it never goes back behind what it helped to decide;
 * and no candidate whose journal ends before its position gets its vote.
 */
export class Witness {
  readonly #ballot: Ballot;
  #saved: SavedWitness;

  constructor(saved: SavedWitness, now: number, timing: ReplicaTiming = usualTiming) {
    this.#ballot = new Ballot(saved, now, timing);
    this.#saved = saved;
  }

  /** The answer, and what must be on disk before it leaves. */
  receive(from: string, message: ReplicaMessage, now: number): { save?: SavedWitness; reply?: ReplicaMessage } {
    const before = this.#saved;
    const reply = this.#answer(from, message, now);
    const ballot = this.#ballot.take();
    if (ballot) this.#saved = { ...this.#saved, ...ballot };
    return { ...(this.#saved === before ? {} : { save: this.#saved }), ...(reply ? { reply } : {}) };
  }

  #answer(from: string, message: ReplicaMessage, now: number): ReplicaMessage | undefined {
    if (message.is === 'ask-vote') return this.#ballot.ask(from, message, this.#saved.last, now);
    if (message.is !== 'extend') return undefined;
    const { term, sent, last } = message;
    const ok = term >= this.#ballot.term;
    if (ok) {
      this.#ballot.raise(term);
      this.#ballot.heard(now);
      if (last && last.term === term && isBefore(this.#saved.last, last)) this.#saved = { ...this.#saved, last };
    }
    const known = this.#saved.last;
    const match = ok && known.term === term ? known.index : 0;
    return { is: 'appended', term: this.#ballot.term, sent, ok, match };
  }
}
