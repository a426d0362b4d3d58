import type { SessionState } from '../../../shared/protocol/shapes.ts';
import type { SubmitRule } from '../drivers/driver.ts';
import { showsText } from '../drivers/input-box.ts';

/** All that a prompt's next step depends on, at one moment. Times are milliseconds of a clock that only runs forward. */
export interface PromptView {
  now: number;
  /** The session lives. */
  live: boolean;
  state: SessionState;
  /** When it was last seen busy or blocked, however short that was. */
  leftReadyAt: number | undefined;
  /** Since when it is in its state. */
  stateAt: number;
  /** The text in the input box; undefined where none is seen. */
  box: string | undefined;
  /** The output since Enter has gone on to a new line. */
  newLine: boolean;
  outputAt: number;
  /** When a person, or another program, last typed into the session. */
  personAt: number | undefined;
  /** That typing was not ended by Enter: something may stand in the line. */
  personPending: boolean;
  /** Bytes that were typed and that the program has not read. */
  unread: number;
  /** The program takes pasted text in brackets. */
  pastes: boolean;
}

export type Step =
  /** Nothing to do until something changes, or until `until`. */
  | { do: 'wait'; until?: number; waitsFor: string | null }
  /** Type the text; nobody else's typing may come between it and Enter. */
  | { do: 'type' }
  | { do: 'enter' }
  /** It was seen that the worker took it up. */
  | { do: 'submitted' }
  | { do: 'finish' }
  | { do: 'fail'; outcome: 'unknown' | 'failed'; why: string };

/** A person who has not typed for so long is not typing. */
export const personQuietMs = 3000;
/** A program that takes pasted text says so within this time of being ready. */
const pastesWithinMs = 3000;
/** A text that does not show in the box within this time will not. */
const showWithinMs = 15_000;
/** Without a box to look at, output is taken to have settled after so much silence, or so long after typing. */
const echoQuietMs = 150;
const echoWithinMs = 2000;
/** Enter that was taken shows within this time, on a machine that is not overloaded. */
const takenWithinMs = 3000;
/** After this the outcome is unknown: sooner where the text remains than where it is gone from the box. */
const giveUpAfterMs = 12_000;
const giveUpEmptiedMs = 60_000;
/** A program whose state nobody can tell is typed to when it was quiet for so long. */
const unknownQuietMs = 2000;

type Phase = 'waiting' | 'typed' | 'entered' | 'submitted';

/**
 * One prompt on its way into a program: when to type, when to press Enter, and what became of it. Enter is pressed at
 * most twice, the second time only while the text visibly remains and nobody else has typed; the text is typed once.
 */
export class PromptSteps {
  readonly #rule: SubmitRule;
  readonly #text: string;
  /** Programs of which nothing is known may be typed to while their state is unknown. */
  readonly #anyState: boolean;
  #phase: Phase = 'waiting';
  #mayTypeAt: number | undefined;
  #typedAt = 0;
  #shownAt: number | undefined;
  #enters = 0;
  #enteredAt = 0;
  #firstEnteredAt = 0;
  #submittedAt = 0;

  constructor(rule: SubmitRule, text: string, anyState: boolean) {
    this.#rule = rule;
    this.#text = text;
    this.#anyState = anyState;
  }

  next(view: PromptView): Step {
    switch (this.#phase) {
      case 'waiting':
        return this.#whileWaiting(view);
      case 'typed':
        return this.#whileTyped(view);
      case 'entered':
        return this.#whileEntered(view);
      case 'submitted':
        return this.#whileSubmitted(view);
    }
  }

  /** Of a text that was to be typed nothing could be: it waits again. */
  notTyped(): void {
    this.#phase = 'waiting';
  }

  #whileWaiting(view: PromptView): Step {
    if (!view.live) return { do: 'fail', outcome: 'failed', why: 'the session ended before anything was typed' };
    const { now, personAt } = view;
    if (personAt !== undefined && now - personAt < personQuietMs) {
      return { do: 'wait', until: personAt + personQuietMs, waitsFor: 'a person is typing' };
    }
    if (view.state === 'blocked') return { do: 'wait', waitsFor: 'the worker asks a person' };
    if (view.state !== 'idle') {
      if (!this.#anyState || view.state !== 'unknown')
        return { do: 'wait', waitsFor: `the worker is ${view.state}, not ready` };
      const quietAt = view.outputAt + unknownQuietMs;
      if (now < quietAt) return { do: 'wait', until: quietAt, waitsFor: 'its program is writing' };
    }
    if (this.#rule.hasBox) {
      if (view.box === undefined) return { do: 'wait', waitsFor: 'its input box is not on the screen' };
      if (view.box !== '') return { do: 'wait', waitsFor: 'a draft stands in its input box' };
    } else if (view.personPending) {
      return { do: 'wait', waitsFor: 'a person has typed and not pressed Enter' };
    }
    if (!view.pastes && this.#rule.unbracketed === 'single' && this.#text.includes('\n')) {
      // Programs switch pasting on at their start, and off while something of theirs is in front.
      this.#mayTypeAt ??= now;
      const until = this.#mayTypeAt + pastesWithinMs;
      if (now < until) return { do: 'wait', until, waitsFor: 'its program takes no pasted text yet' };
    }
    this.#phase = 'typed';
    this.#typedAt = now;
    return { do: 'type' };
  }

  #whileTyped(view: PromptView): Step {
    const { now } = view;
    if (!view.live) return { do: 'fail', outcome: 'failed', why: 'the session ended before Enter was pressed' };
    if (view.state === 'blocked') {
      const why = 'a question came up between the text and Enter, which would have answered it';
      return { do: 'fail', outcome: 'unknown', why: `${why}; the text may stand in the input box` };
    }
    if (view.unread > 0) return this.#waitFor(view, this.#typedAt + showWithinMs, 'the program does not read');
    if (this.#rule.hasBox) {
      if (view.box === undefined || !showsText(view.box, this.#text)) {
        this.#shownAt = undefined;
        return this.#waitFor(view, this.#typedAt + showWithinMs, 'the text never showed in its input box');
      }
      this.#shownAt ??= now;
      const due = this.#shownAt + this.#rule.enterAfterMs;
      if (now < due) return { do: 'wait', until: due, waitsFor: null };
    } else {
      const quiet = view.outputAt > this.#typedAt ? view.outputAt + echoQuietMs : this.#typedAt + echoWithinMs;
      const due = Math.max(this.#typedAt + this.#rule.enterAfterMs, Math.min(quiet, this.#typedAt + echoWithinMs));
      if (now < due) return { do: 'wait', until: due, waitsFor: null };
    }
    return this.#enter(view);
  }

  #enter({ now }: PromptView): Step {
    this.#phase = 'entered';
    this.#enters++;
    this.#enteredAt = now;
    if (this.#enters === 1) this.#firstEnteredAt = now;
    return { do: 'enter' };
  }

  #whileEntered(view: PromptView): Step {
    const { now, box } = view;
    const left = view.leftReadyAt !== undefined && view.leftReadyAt > this.#firstEnteredAt;
    if (left || (this.#rule.seenBy === 'line' && view.newLine)) return this.#submit(now);
    if (!view.live) return { do: 'fail', outcome: 'unknown', why: 'the session ended right after Enter' };
    if (this.#rule.local?.test(this.#text) && box === '' && view.state === 'idle') {
      // A command of the program's own: no turn comes of it.
      const due = this.#enteredAt + takenWithinMs;
      return now < due ? { do: 'wait', until: due, waitsFor: null } : this.#submit(now);
    }
    const taken = this.#enteredAt + takenWithinMs;
    if (now < taken) return { do: 'wait', until: taken, waitsFor: null };
    const remains = box !== undefined && showsText(box, this.#text);
    const alone = view.personAt === undefined || view.personAt < this.#typedAt;
    if (remains && this.#enters === 1 && alone && view.state === 'idle') return this.#enter(view);
    const why = remains
      ? 'the text still stands in its input box after Enter'
      : 'Enter was pressed, and the worker was not seen to begin';
    const patience = box === '' ? giveUpEmptiedMs : giveUpAfterMs;
    return this.#waitFor(view, this.#enteredAt + patience, why);
  }

  #submit(now: number): Step {
    this.#phase = 'submitted';
    this.#submittedAt = now;
    return { do: 'submitted' };
  }

  #whileSubmitted(view: PromptView): Step {
    const { now, state } = view;
    if (!view.live) return { do: 'fail', outcome: 'failed', why: 'the session ended during the turn' };
    if (state === 'blocked') return { do: 'wait', waitsFor: 'the worker asks a person' };
    if (state !== 'idle' && !(this.#anyState && state === 'unknown')) return { do: 'wait', waitsFor: null };
    const since = Math.max(this.#submittedAt, view.stateAt, view.leftReadyAt ?? 0);
    const due = since + this.#rule.settleMs;
    return now < due ? { do: 'wait', until: due, waitsFor: null } : { do: 'finish' };
  }

  #waitFor({ now }: PromptView, until: number, why: string): Step {
    if (now < until) return { do: 'wait', until, waitsFor: null };
    return { do: 'fail', outcome: 'unknown', why };
  }
}
