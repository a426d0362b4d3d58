import { createHmac } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import type { Hook } from '../../shared/connector/definition.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import { parseJson } from '../home/json-file.ts';
import type { Log } from '../home/log.ts';
import type { StoredRecord } from './core/records.ts';

/** What happened in a run, in the order in which it happened. */
export interface RunEvent {
  /** Counts the records of the run's journal; the same event has the same number whoever tells it. */
  seq: number;
  at: string;
  /** `begun`, `grant`, `commit`, …: as in the journal. */
  is: string;
  data: unknown;
}

export interface HooksOptions {
  run: string;
  hooks: readonly Hook[];
  /** Where it is noted up to which event each was told. */
  path: string;
  /** The secret of this name; undefined where there is none. */
  secret: (name: string) => string | undefined;
  log: Pick<Log, 'warn'>;
  post?: typeof fetch;
  /** Pauses between attempts, milliseconds; the last is kept. */
  pauses?: readonly number[];
  /** How long an event is told again, milliseconds. */
  giveUpMs?: number;
}

const fileSchema = v.object({ told: v.record(v.string(), v.number()) });
const answerWithinMs = 15_000;
const usualGiveUpMs = 24 * 3_600_000;
const usualPauses = [1_000, 5_000, 30_000, 120_000, 600_000];

/**
 * Tells a run's events to the web: one POST each, in order, again until it is answered with 2xx, for a day. The signature is that of
 * the Standard Webhooks specification 1.0 (headers `webhook-id`, `webhook-timestamp`, `webhook-signature`): HMAC-SHA256
 * over `id.timestamp.body` with the hook's secret. A coordinator that takes over, or is started again, may tell an event
 * a second time, under the same id.
 */
export class Hooks {
  readonly #o: HooksOptions;
  readonly #told: Record<string, number>;
  readonly #stop = new AbortController();
  readonly #wakes = new Set<() => void>();
  #events: readonly RunEvent[] = [];
  #over = false;
  #done = false;

  constructor(options: HooksOptions) {
    this.#o = options;
    const parsed = v.safeParse(fileSchema, parseJson(readIfThere(options.path) ?? 'null'));
    this.#told = parsed.success ? { ...parsed.output.told } : {};
  }

  /** Begins; resolves when all is told once `end` was called, or `close`. */
  async run(): Promise<void> {
    await Promise.all(this.#o.hooks.map((hook, index) => this.#tellAll(hook, `${index} ${hook.url}`)));
    this.#done = !this.#stop.signal.aborted;
  }

  /** All is told, or given up. */
  get done(): boolean {
    return this.#done;
  }

  /** All events of the run until now. */
  update(events: readonly RunEvent[]): void {
    this.#events = events;
    this.#wake();
  }

  /** No more events come. */
  end(): void {
    this.#over = true;
    this.#wake();
  }

  close(): void {
    this.#stop.abort();
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#wakes]) wake();
  }

  async #tellAll(hook: Hook, name: string): Promise<void> {
    const wanted = (event: RunEvent): boolean =>
      event.seq > (this.#told[name] ?? 0) && (hook.on.length === 0 || hook.on.includes(event.is));
    while (!this.#stop.signal.aborted) {
      const event = this.#events.find(wanted);
      if (event) await this.#tell(hook, name, event);
      else if (this.#over) return;
      else await this.#change();
    }
  }

  async #tell(hook: Hook, name: string, event: RunEvent): Promise<void> {
    const pauses = this.#o.pauses ?? usualPauses;
    const giveUpAt = Date.now() + (this.#o.giveUpMs ?? usualGiveUpMs);
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      try {
        await this.#post(hook, event);
        this.#note(name, event);
        return;
      } catch (error) {
        if (Date.now() > giveUpAt) {
          this.#o.log.warn('a hook is not told of an event', {
            run: this.#o.run,
            url: hook.url,
            seq: event.seq,
            error,
          });
          this.#note(name, event);
          return;
        }
        if (this.#stop.signal.aborted) return;
        this.#o.log.warn('a hook was not taken', { run: this.#o.run, url: hook.url, seq: event.seq, error });
        const ms = pauses[Math.min(failures, pauses.length - 1)] ?? 0;
        await delay(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      }
    }
  }

  #note(name: string, { seq }: RunEvent): void {
    this.#told[name] = seq;
    writeAtomically(this.#o.path, JSON.stringify({ told: this.#told }));
  }

  async #post(hook: Hook, { seq, at, is, data }: RunEvent): Promise<void> {
    const { run } = this.#o;
    const id = `${run}.${seq}`;
    const body = JSON.stringify({ type: `run.${is}`, timestamp: at, run, sequence: seq, data });
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const headers: Record<string, string> = {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
    };
    if (hook.secret !== null) {
      const secret = this.#o.secret(hook.secret);
      // Unsigned it could be anybody's.
      if (secret === undefined) throw new Error(`there is no secret ${hook.secret} on this machine`);
      headers['webhook-signature'] = `v1,${sign(secret, `${id}.${timestamp}.${body}`)}`;
    }
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(answerWithinMs)]);
    const answer = await (this.#o.post ?? fetch)(hook.url, {
      method: 'POST',
      headers,
      body,
      signal,
      redirect: 'error',
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new Error(`it was answered with ${answer.status}`);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakes.delete(wake);
        resolve();
      };
      this.#wakes.add(wake);
    });
  }
}

/** A journal's records as events. Of the definition, which is long, only the run's name is told. */
export function eventsOf(records: ReadonlyArray<{ index: number; record: StoredRecord }>, name: string): RunEvent[] {
  return records.map(({ index, record: { kind, at, ...data } }) => ({
    ...{ seq: index, at, is: kind },
    data: kind === 'begun' ? { name } : data,
  }));
}

/** A secret is used as it is, or, as the specification has it, as the base64 behind `whsec_`. */
export function sign(secret: string, text: string): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : secret;
  return createHmac('sha256', key).update(text).digest('base64');
}
