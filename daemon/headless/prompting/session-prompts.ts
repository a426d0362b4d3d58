import { NiiaError } from '../../../shared/errors.ts';
import type { PromptReceipt } from '../../../shared/protocol/worker-methods.ts';
import { Log } from '../../home/log.ts';
import type { PromptEntry, PromptRecord } from '../../workers/prompt/prompt-record.ts';
import { afterLoss, applyEntry, digestOf, entriesOf, receiptOf, tooOld } from '../../workers/prompt/prompt-record.ts';
import type { PromptText } from '../../workers/prompt/prompt-text.ts';
import { PromptJournal } from './prompt-journal.ts';
import type { TurnEnd, TurnEvents } from './terminal-turn.ts';

/** Prompts that wait in one session; more are refused. */
const mostQueued = 256;

/** What is needed of the session whose prompts they are. */
export interface PromptedSession {
  readonly id: string;
  readonly live: boolean;
  readonly folder: { readonly path: string };
  readonly log: { readonly end: number };
  endedError(): NiiaError;
}

/** How a session's prompts are carried out. */
export interface Turns {
  run: RunTurn;
  /** The prompt's answer is not kept any longer. */
  forget(id: string): void;
}

export type RunTurn = (record: PromptRecord, events: TurnEvents, signal: AbortSignal) => Promise<TurnEnd>;

/** Someone who waits for a prompt. */
export interface Waiter {
  /** Something about it, or what it waits for, changed. */
  told(receipt: PromptReceipt, waitsFor: string | null): void;
}

interface Active {
  record: PromptRecord;
  /** Once it is aborted nothing of the prompt is typed any more. */
  withdraw: AbortController;
  /** It is too late to withdraw it: something may be typed. */
  typing: boolean;
  waitsFor: string | null;
  over: Promise<void>;
}

const log = new Log('prompts');

/** The prompts of one session: each typed once, one after the other, whatever is asked again. */
export class SessionPrompts {
  readonly session: PromptedSession;
  readonly #machine: string;
  readonly #journal: PromptJournal;
  readonly #records = new Map<string, PromptRecord>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #queue: PromptRecord[] = [];
  readonly #turns: Turns;
  /** Prompts that are on their way into the journal. */
  readonly #accepting = new Map<string, Promise<void>>();
  #active: Active | undefined;

  private constructor(session: PromptedSession, machine: string, journal: PromptJournal, turns: Turns) {
    this.session = session;
    this.#machine = machine;
    this.#journal = journal;
    this.#turns = turns;
  }

  /** Takes over what an earlier server wrote: what it left open is settled, and never typed again. */
  static async load(session: PromptedSession, machine: string, turns: Turns): Promise<SessionPrompts> {
    const journal = new PromptJournal(session.folder.path);
    const prompts = new SessionPrompts(session, machine, journal, turns);
    for (const entry of await journal.load()) applyEntry(prompts.#records, entry);
    for (const record of prompts.#records.values()) {
      const loss = afterLoss(record);
      if (loss) Object.assign(record, loss);
    }
    return prompts;
  }

  get(id: string): PromptRecord | undefined {
    return this.#records.get(id);
  }

  /** As `get`, once it is sure that the prompt is not being taken back. */
  async find(id: string): Promise<PromptRecord | undefined> {
    await this.#takenBack(id);
    return this.#records.get(id);
  }

  receipt(record: PromptRecord): PromptReceipt {
    return receiptOf(record, this.session.id, this.#machine);
  }

  /** Something is typed, or waits to be. */
  get busy(): boolean {
    return this.#active !== undefined || this.#queue.length > 0 || this.#accepting.size > 0;
  }

  /**
   * Accepts a prompt: it is in the journal when this resolves. One with a known id is the known one. Rejects, and has
   * accepted nothing, where it could not be written down.
   */
  async accept(id: string, { text, removed }: PromptText, owner: string): Promise<PromptRecord> {
    await this.#takenBack(id);
    const known = this.#records.get(id);
    if (known) {
      await this.#accepting.get(id);
      const now = this.#records.get(id);
      if (now) return this.#same(now, text);
      throw new NiiaError('io', `the prompt ${id} could not be written into the session's journal`);
    }
    if (!this.session.live) throw this.session.endedError();
    if (this.#queue.length >= mostQueued) {
      throw new NiiaError('busy', `${mostQueued} prompts wait in ${this.session.id} already`, 'Wait for some of them.');
    }
    const entry: PromptEntry = { is: 'accepted', id, at: new Date().toISOString(), text, removed, owner };
    applyEntry(this.#records, entry);
    const record = this.#records.get(id);
    if (!record) throw new NiiaError('internal', 'an accepted prompt without a record');
    const written = this.#journal.append(entry);
    this.#accepting.set(
      id,
      written.catch(() => undefined),
    );
    try {
      await written;
    } catch (cause) {
      this.#records.delete(id);
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new NiiaError(
        'io',
        `the prompt could not be written into the session's journal: ${why}`,
        'Is the disk full?',
        {
          cause,
        },
      );
    } finally {
      this.#accepting.delete(id);
    }
    this.#queue.push(record);
    this.#startNext();
    return record;
  }

  /** Keeps a prompt, also one that is only about to be accepted, from being withdrawn until the returned function is called. */
  claim(id: string): () => void {
    return this.watch(id, { told: () => undefined });
  }

  /** Calls `waiter` at every change of the prompt, now included, until the returned function is called. */
  watch(id: string, waiter: Waiter): () => void {
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters);
    waiters.add(waiter);
    const record = this.#records.get(id);
    if (record) waiter.told(this.receipt(record), this.#waitsFor(record));
    return () => {
      if (waiters.delete(waiter) && waiters.size === 0) this.#waiters.delete(id);
    };
  }

  /** Takes a prompt back of which nothing is typed, unless somebody else waits for it too. */
  withdraw(id: string): void {
    if ((this.#waiters.get(id)?.size ?? 0) > 0) return;
    const index = this.#queue.findIndex((record) => record.id === id);
    if (index >= 0) {
      this.#queue.splice(index, 1);
      this.#withdrawn(id);
    } else if (this.#active?.record.id === id && !this.#active.typing) {
      this.#active.withdraw.abort(new NiiaError('cancelled', 'nobody waits for the prompt any more'));
    }
  }

  /** Resolves when no prompt of this id is on its way out: whoever asks for it then gets it whole, or accepts it anew. */
  async #takenBack(id: string): Promise<void> {
    const active = this.#active;
    if (active?.record.id === id && active.withdraw.signal.aborted) await active.over;
  }

  #same(record: PromptRecord, text: string): PromptRecord {
    if (record.digest === digestOf(text)) return record;
    throw new NiiaError(
      'usage',
      `the prompt id ${record.id} stands for another text`,
      'An id belongs to one prompt; leave it out to have a new one.',
    );
  }

  #startNext(): void {
    if (this.#active) return;
    const record = this.#queue.shift();
    if (!record) return;
    const withdraw = new AbortController();
    const active: Active = { record, withdraw, typing: false, waitsFor: null, over: Promise.resolve() };
    this.#active = active;
    active.over = this.#turn(active)
      .catch((error: unknown) => log.error('a prompt broke off', { session: this.session.id, id: record.id, error }))
      .finally(() => {
        this.#active = undefined;
        this.#startNext();
      });
  }

  async #turn(active: Active): Promise<void> {
    const { record } = active;
    const { id } = record;
    const now = () => new Date().toISOString();
    const end = () => this.session.log.end;
    const events: TurnEvents = {
      typing: async () => {
        active.withdraw.signal.throwIfAborted();
        active.typing = true;
        // Without this on disk nothing may be typed: a later server would take it for untouched.
        await this.#note({ is: 'typing', id, at: now(), offset: end() }, 'must');
      },
      typed: () => this.#note({ is: 'typed', id, at: now() }),
      submitted: () => this.#note({ is: 'submitted', id, at: now() }),
      waits: (waitsFor) => {
        if (active.waitsFor === waitsFor) return;
        active.waitsFor = waitsFor;
        this.#tell(record);
      },
    };
    let result: TurnEnd;
    try {
      result = await this.#turns.run(record, events, active.withdraw.signal);
    } catch (error) {
      if (active.withdraw.signal.aborted) return this.#withdrawn(id);
      const is = record.typing ? 'unknown' : 'failed';
      result = { is, why: error instanceof Error ? error.message : String(error) };
    }
    active.waitsFor = null;
    if (result.is === 'finished') await this.#note({ ...result, id, at: now(), offset: end() });
    else await this.#note({ ...result, id, at: now() });
    await this.#forgetOld();
  }

  #withdrawn(id: string): void {
    void this.#note({ is: 'withdrawn', id, at: new Date().toISOString() });
  }

  /** Writes down and tells what happened. What cannot be written is known all the same, unless it `must` be. */
  async #note(entry: PromptEntry, must?: 'must'): Promise<void> {
    const { id } = entry;
    const record = this.#records.get(id);
    try {
      if (!must) applyEntry(this.#records, entry);
      await this.#journal.append(entry);
      if (must) applyEntry(this.#records, entry);
    } catch (error) {
      if (must) throw error;
      log.warn('what became of a prompt could not be written', { session: this.session.id, id, error });
    }
    if (record && record === this.#records.get(id)) this.#tell(record);
  }

  #tell(record: PromptRecord): void {
    const receipt = this.receipt(record);
    const waitsFor = this.#waitsFor(record);
    for (const waiter of [...(this.#waiters.get(record.id) ?? [])]) waiter.told(receipt, waitsFor);
  }

  #waitsFor(record: PromptRecord): string | null {
    if (this.#active?.record === record) return this.#active.waitsFor;
    return this.#queue.includes(record) ? 'other prompts are before it' : null;
  }

  /** Keeps what is kept of prompts that are over within bounds. */
  async #forgetOld(): Promise<void> {
    const { records, texts } = tooOld([...this.#records.values()]);
    for (const record of texts) record.text = undefined;
    for (const { id } of records) this.#records.delete(id);
    for (const { id } of [...texts, ...records]) this.#turns.forget(id);
    try {
      // As they stand when it is written: whatever is appended later says the same again, or more.
      await this.#journal.shorten(() => [...this.#records.values()].flatMap(entriesOf));
    } catch (error) {
      log.warn('the journal of prompts could not be shortened', { session: this.session.id, error });
    }
  }

  /** Resolves when nothing waits or is typed, and all is written down. */
  async settled(): Promise<void> {
    while (this.#active) await this.#active.over;
    await this.#journal.flushed();
  }
}
