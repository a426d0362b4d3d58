import type { ResultOf } from '../../shared/protocol/methods.ts';
import type { SessionState, StateEvidence } from '../../shared/protocol/shapes.ts';
import { Log } from '../home/log.ts';
import { explain } from '../workers/state/explain.ts';
import type { Evidence, Report } from '../workers/state/facts.ts';
import type { Judgement } from '../workers/state/judge.ts';
import { queryAnswer } from '../workers/state/program-status.ts';
import type { Seen } from '../workers/state/tracker.ts';
import { StateTracker } from '../workers/state/tracker.ts';
import { foregroundOf } from './foreground.ts';
import type { RuleFiles } from './rule-files.ts';
import type { ScreenRows } from './screen-rows.ts';

/** However much happens, it is judged at most this often. */
const betweenJudgementsMs = 10;
/** A program that says nothing is looked at so long after its start. */
const firstLookMs = 1000;
/** A program that asks again this soon has its answer already. */
const betweenAnswersMs = 100;
/** A viewer's own terminal may answer as well, within this time. */
const answerAgainMs = 5000;

const log = new Log('state');

const answer = Buffer.from(queryAnswer);

/** What is known of a session's state, as lists show it. */
export interface KnownState {
  state: SessionState;
  evidence: string;
  stateEvidence: StateEvidence | null;
  stateSince: string;
}

export interface TrackingOptions {
  argv: readonly string[];
  worker: string | undefined;
  /** The session's first process. */
  pid: number;
  files: RuleFiles;
  /** The state, or what it was concluded from, is another. */
  changed: () => void;
  /** Types an answer to the program's question. */
  type: (bytes: Uint8Array) => void;
  /** Whether the screen's rows are wanted. */
  observe: (on: boolean) => void;
  /** The session's clock. */
  now: () => number;
}

/** Keeps the state of one live session: feeds its tracker, looks at the system for it, and wakes it when time decides. */
export class StateTracking {
  readonly #options: TrackingOptions;
  readonly #tracker: StateTracker;
  readonly #unwatch: () => void;
  #known: KnownState;
  #judgedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #held = false;

  constructor(options: TrackingOptions) {
    this.#options = options;
    const { argv, worker, pid, files } = options;
    this.#tracker = new StateTracker({
      ...{ argv, worker, book: files.book, now: options.now() },
      foreground: () => foregroundOf(pid),
      asked: () => this.#asked(),
    });
    this.#unwatch = files.watch((book) => {
      this.#tracker.rulesChanged(book);
      this.#soon();
    });
    const stateSince = new Date().toISOString();
    this.#known = { state: 'starting', evidence: 'no output yet', stateEvidence: null, stateSince };
    // The process is only just being made: asking the system about it now would wait for that.
    this.#wakeAt(options.now() + firstLookMs);
  }

  get known(): KnownState {
    return this.#known;
  }

  /** When it was last seen in this state, however short that was. */
  seen(state: SessionState): Seen | undefined {
    return this.#tracker.seen(state);
  }

  /** Whether its program reads pasted text in brackets. */
  get bracketedPaste(): boolean {
    return this.#tracker.bracketedPaste;
  }

  /** Output that ends at `offset`. */
  heard(bytes: Uint8Array, offset: number): void {
    this.#tracker.heard(bytes, offset, this.#options.now());
    if (this.#tracker.changed) this.#soon();
  }

  typed(): void {
    this.#tracker.typed(this.#options.now());
    this.#soon();
  }

  rows({ rows, cursor }: ScreenRows): void {
    this.#tracker.rows(rows, cursor, this.#options.now());
    this.#soon();
  }

  report(report: Report | undefined): void {
    this.#tracker.reported(report, this.#options.now());
    this.#judge();
  }

  /** It waits for a person again, with another question, and was not seen to do anything else in between. */
  askedAnew(): void {
    const known = this.#known;
    if (known.state !== 'blocked' || this.#closed) return;
    const since = Math.max(Date.now(), Date.parse(known.stateSince) + 1);
    this.#known = { ...known, stateSince: new Date(since).toISOString() };
    this.#options.changed();
  }

  /** What a viewer types, without the answer that its own terminal gives to a question that has been answered. */
  withoutAnswer(bytes: Uint8Array): Uint8Array {
    if (this.#options.now() - this.#answeredAt > answerAgainMs || bytes.length < answer.length) return bytes;
    const typed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = typed.indexOf(answer);
    if (at < 0) return bytes;
    return Buffer.concat([typed.subarray(0, at), typed.subarray(at + answer.length)]);
  }

  /** While it is held nothing new is concluded: what does not run is neither idle nor busy. */
  hold(on: boolean): void {
    this.#held = on;
    if (!on) this.#judge();
  }

  explain(): Omit<ResultOf<'session.explain'>, 'session' | 'machine'> {
    const { files } = this.#options;
    files.refresh();
    this.#judge();
    const now = this.#options.now();
    const { judgement, ...told } = explain(this.#tracker, files.book, now);
    const parts = (evidence: Evidence) => ({ ...partsOf(evidence), ageMs: Math.max(0, Math.round(now - evidence.at)) });
    return {
      ...told,
      state: judgement.state,
      evidence: judgement.why,
      stateEvidence: judgement.evidence ? parts(judgement.evidence) : null,
      speaks: told.speaks.map((one) => ({ ...parts(one), state: one.state })),
    };
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#unwatch();
  }

  #soon(): void {
    const at = this.#judgedAt + betweenJudgementsMs;
    if (this.#tracker.changed && this.#options.now() >= at) this.#judge();
    else this.#wakeAt(this.#tracker.changed ? at : this.#tracker.due);
  }

  #judge(): void {
    if (this.#closed || this.#held) return;
    const now = this.#options.now();
    this.#judgedAt = now;
    let judgement: Judgement;
    try {
      judgement = this.#tracker.judge(now);
    } catch (error) {
      // A defect here must not cost the session whose output or input led to it.
      log.error('the state of a session cannot be told', { error });
      return;
    }
    this.#options.observe(this.#tracker.wantsRows);
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#wakeAt(judgement.again);
    this.#publish(judgement);
  }

  #wakeAt(at: number | undefined): void {
    if (at === undefined || at >= this.#timerAt || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const wait = Math.max(betweenJudgementsMs, at - this.#options.now());
    this.#timer = setTimeout(() => this.#judge(), wait);
    this.#timer.unref();
  }

  #publish({ state, evidence, why }: Judgement): void {
    const known = this.#known;
    const stateEvidence = evidence ? partsOf(evidence) : null;
    const same = known.state === state && known.stateEvidence?.rule === stateEvidence?.rule && !isNews(known, why);
    if (same) return;
    const stateSince = known.state === state ? known.stateSince : new Date().toISOString();
    this.#known = { state, evidence: why, stateEvidence, stateSince };
    this.#options.changed();
  }

  #asked(): void {
    const now = this.#options.now();
    if (now - this.#answeredAt < betweenAnswersMs) return;
    this.#answeredAt = now;
    this.#options.type(answer);
  }
}

/** Progress that counts its seconds is no news; another question is. */
function isNews(known: KnownState, why: string): boolean {
  return why !== known.evidence && (known.state === 'blocked' || known.stateEvidence === null);
}

function partsOf({ source, rule, excerpt, confidence }: Evidence): StateEvidence {
  return { source, rule, excerpt, confidence };
}
