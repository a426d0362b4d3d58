import { randomUUID } from 'node:crypto';
import type { ErrorCode } from '../../../shared/errors.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { askSignals } from '../../../shared/protocol/ask-methods.ts';
import type { ParamsOf, ResultOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { ByteSource } from '../../../shared/rpc/byte-stream.ts';
import type { TypedCall } from '../../../shared/rpc/client.ts';
import { InputLog } from '../attach/input-log.ts';
import type { DaemonClient } from '../daemon-client.ts';
import type { Deadline } from '../deadline.ts';
import { away, broke, Pauses } from '../retry.ts';

/** Where an output goes as it comes. */
export type Consumer = (bytes: Uint8Array) => Promise<void>;
type AskSignal = (typeof askSignals)[number];

export interface AskOptions {
  daemon: DaemonClient;
  deadline: Deadline;
  /** The machine; undefined: the one that the daemon client names. */
  to?: string | undefined;
  params: Pick<ParamsOf<'machine.ask'>, 'command' | 'cwd' | 'env'>;
  output: Consumer;
  errors: Consumer;
  input?: AsyncIterable<Uint8Array> | undefined;
}

/** As long as the other side keeps a command whose asker is away. */
const patienceMs = 10 * 60_000;
/** Output is acknowledged in steps of so many bytes. */
const step = 128 << 10;
/** Timers longer than this overflow in Node. */
const longestTimer = 2 ** 31 - 1;
/** What these say is said of the command itself; any other failure after a break leaves open what it did. */
const final: readonly ErrorCode[] = ['usage', 'io', 'outcome_unknown', 'timeout', 'cancelled'];

/**
 * One command on another machine, which outlives the connections to it: after a break its outputs go on at the byte
 * where that came, input that was under way goes out again, and the command is never run twice.
 */
export class ResumingAsk {
  readonly #o: AskOptions;
  readonly #key = randomUUID();
  readonly #input = new InputLog();
  readonly #at = { output: 0, errors: 0 };
  readonly #signals: AskSignal[] = [];
  readonly #gaveUp = new AbortController();
  #acknowledged = 0;
  #call: TypedCall<'machine.ask'> | undefined;
  #started = false;
  /** Whether the command outlives the call; an older machine's does not. */
  #resumable = false;
  #inputEnded = false;
  /** Why the outputs cannot be taken any further. */
  #failure: unknown;
  #inputRoom: (() => void) | undefined;
  /** Input leaves as it comes: at first, and after a break once it is known where to go on. */
  #inputFlows = false;

  constructor(options: AskOptions) {
    this.#o = options;
  }

  /** Passes a signal on, now or when the connection is back. */
  signal(signal: AskSignal): void {
    if (this.#call) this.#call.emit({ type: 'signal', signal });
    else this.#signals.push(signal);
  }

  /** Ends the command, as far as it can be reached. */
  giveUp(why: NiiaError): void {
    if (this.#gaveUp.signal.aborted) return;
    this.#gaveUp.abort(why);
    if (this.#call) this.#end(this.#call, why);
  }

  #end(call: TypedCall<'machine.ask'>, why: NiiaError): void {
    // Before it is known whether the other side understands it, what every version does.
    call.emit(this.#resumable ? { type: 'end' } : { type: 'signal', signal: 'SIGHUP' });
    call.cancel(why.code, why.message);
  }

  /** Runs the command to its end. Rejects with `outcome_unknown` where a broken connection does not come back. */
  async run(): Promise<ResultOf<'machine.ask'>> {
    const timeoutMs = this.#o.deadline.leftMs;
    const timer =
      timeoutMs === undefined || timeoutMs > longestTimer
        ? undefined
        : setTimeout(() => this.giveUp(this.#o.deadline.expired('the command')), timeoutMs);
    if (this.#o.input) void this.#readInput(this.#o.input);
    try {
      return await this.#untilDone(timeoutMs);
    } finally {
      clearTimeout(timer);
    }
  }

  async #untilDone(timeoutMs: number | undefined): Promise<ResultOf<'machine.ask'>> {
    const pauses = new Pauses();
    let until: number | undefined;
    for (;;) {
      const told = { ...this.#at };
      try {
        return await this.#once(timeoutMs, until !== undefined);
      } catch (cause) {
        if (this.#failure !== undefined) throw this.#failure;
        const error = NiiaError.from(cause);
        const given = this.#gaveUp.signal;
        if (given.aborted)
          throw until === undefined ? NiiaError.from(given.reason) : unknown(NiiaError.from(given.reason));
        if (until === undefined && !broke(error)) throw error;
        if (final.includes(error.code)) throw error;
        if (!broke(error) && !away(error)) throw unknown(error);
        const progress = this.#at.output + this.#at.errors > told.output + told.errors;
        if (until === undefined || progress) until = performance.now() + patienceMs;
        if (progress) pauses.reset();
        if (performance.now() >= until) throw unknown(error);
      }
      try {
        await pauses.wait(this.#gaveUp.signal);
      } catch (reason) {
        throw unknown(NiiaError.from(reason));
      }
    }
  }

  async #once(timeoutMs: number | undefined, again: boolean): Promise<ResultOf<'machine.ask'>> {
    const { daemon, to, params, input, output, errors } = this.#o;
    const resume = { ...this.#at, ...(this.#started && { started: true }) };
    const call = await daemon.call(
      'machine.ask',
      { ...params, ...(input && { stdin: true }), ...(timeoutMs !== undefined && { timeoutMs }), resume },
      { key: this.#key, deadlineMs: undefined, ...(to !== undefined && { to }) },
    );
    this.#call = call;
    call.onEvent((event) => {
      if (event.type === 'started') {
        this.#started = true;
        this.#resumable = event.resumable ?? false;
        for (const signal of this.#signals.splice(0)) call.emit({ type: 'signal', signal });
        if (again) this.#resumeInput(call, event.inputOffset ?? 0);
        return;
      }
      this.#input.acknowledge(event.offset);
      this.#inputRoom?.();
    });
    const sources = [call.source(streams.output), call.source(streams.errors)] as const;
    this.#take(call, sources[0], 'output', output);
    this.#take(call, sources[1], 'errors', errors);
    if (!again) this.#resumeInput(call, 0);
    // Given up while the connection was being made.
    if (this.#gaveUp.signal.aborted) this.#end(call, NiiaError.from(this.#gaveUp.signal.reason));
    try {
      const result = await call.result;
      await Promise.all(sources.map((source) => source.done));
      return result;
    } finally {
      this.#call = undefined;
      this.#inputFlows = false;
      // What arrived before a break is handed on first: only then is it known where to go on.
      await Promise.allSettled(sources.map((source) => source.done));
    }
  }

  #take(call: TypedCall<'machine.ask'>, source: ByteSource, name: 'output' | 'errors', consumer: Consumer): void {
    source.onData(async (bytes) => {
      try {
        await consumer(bytes);
      } catch (error) {
        // Nobody takes the output any more, so the command has no reason to go on.
        this.#failure ??= error;
        this.giveUp(new NiiaError('cancelled', 'the output is not taken any more'));
        throw error;
      }
      this.#at[name] += bytes.length;
      const sum = this.#at.output + this.#at.errors;
      if (!this.#resumable || sum - this.#acknowledged < step) return;
      this.#acknowledged = sum;
      call.emit({ type: 'have', ...this.#at });
    });
  }

  /** Sends what the other side does not have, and lets the rest follow as it comes. */
  #resumeInput(call: TypedCall<'machine.ask'>, offset: number): void {
    this.#input.acknowledge(offset);
    const sink = call.sink(streams.input);
    for (const bytes of this.#input.unacknowledged) sink.write(bytes);
    this.#inputFlows = true;
    if (this.#inputEnded) sink.end();
    this.#inputRoom?.();
  }

  async #readInput(input: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of input) {
      while (!this.#input.add(bytes)) {
        // An older machine acknowledges nothing, and does not let its asker come back either.
        if (this.#inputFlows && !this.#resumable && this.#call) this.#input.acknowledge(Number.MAX_SAFE_INTEGER);
        else
          await new Promise<void>((resolve) => {
            this.#inputRoom = resolve;
          });
      }
      const sink = this.#inputFlows ? this.#call?.sink(streams.input) : undefined;
      if (!sink) continue;
      // Where the call breaks off its result tells; what was not taken goes out again with the next one.
      await sink.writeAll(bytes).catch(() => undefined);
    }
    this.#inputEnded = true;
    if (this.#inputFlows) this.#call?.sink(streams.input).end();
  }
}

/** A connection that broke under a command says nothing about the command. */
function unknown(cause: NiiaError): NiiaError {
  return new NiiaError(
    'outcome_unknown',
    `the connection broke while the command ran: ${cause.message}`,
    'The command may or may not have done its work; look before you repeat it.',
    { cause },
  );
}
