import { homedir } from 'node:os';
import { NiiaError } from '../../shared/errors.ts';
import { answeredSchema, sentSchema } from '../../shared/protocol/copy-methods.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import type { Home } from '../home/home.ts';
import { encodeRecord, RecordReader } from './copy-wire.ts';
import { fromName, toName } from './names.ts';
import { absolute, look } from './place.ts';
import { Receiver } from './receiver.ts';
import { type CopyReport, Sender } from './sender.ts';

/** The asker counts and tells; this end only works. */
const silent: CopyReport = {
  copied: () => undefined,
  missed: () => undefined,
  progress: () => undefined,
  total: () => undefined,
  warned: () => undefined,
};

interface Running {
  stop: (why: NiiaError) => void;
  ended: Promise<unknown>;
}

/** Serves files of this machine's user to askers, and takes theirs. */
export class Copies {
  readonly #locks: string;
  /** Those under way, by asker and key. */
  readonly #running = new Map<string, Running>();

  constructor(home: Home) {
    this.#locks = home.path('copies');
  }

  async look({ params }: ServedCall<'copy.look'>): Promise<ResultOf<'copy.look'>> {
    const { path, kind } = await look(fromName(params.path), homedir());
    return { path: toName(path), kind };
  }

  async put(call: ServedCall<'copy.put'>, asker: Principal): Promise<ResultOf<'copy.put'>> {
    const { into, names } = call.params;
    return await this.#alone(call, asker, async (stopped) => {
      const sink = call.sink(streams.output);
      // Answers that a connection takes no more, though nobody has noticed that it broke, hold nothing up.
      stopped.catch((why: unknown) => sink.fail(NiiaError.from(why)));
      const receiver = new Receiver({
        into: absolute(fromName(into), homedir()),
        names: names.map(fromName),
        locks: this.#locks,
        send: (answer) => sink.writeAll(encodeRecord(answer)),
        report: silent,
      });
      await receiver.open();
      try {
        const source = call.source(streams.input);
        const reader = new RecordReader(sentSchema);
        source.onData(async (bytes) => {
          for (const { header, body } of reader.take(bytes)) await receiver.take(header, body);
        });
        await Promise.race([source.done, stopped]);
        if (!receiver.finished) throw new NiiaError('bad_request', 'the copy ended before it was done');
        return {};
      } finally {
        await receiver.close();
      }
    });
  }

  async get(call: ServedCall<'copy.get'>, asker: Principal): Promise<ResultOf<'copy.get'>> {
    const { sources, after, total } = call.params;
    return await this.#alone(call, asker, async (stopped) => {
      const sink = call.sink(streams.output);
      const sender = new Sender({
        sources: sources.map((source) => absolute(fromName(source), homedir())),
        total: total ?? false,
        after: after && { source: after.source, path: after.path.map(fromName) },
        send: (record, body) => sink.writeAll(encodeRecord(record, body)),
        report: silent,
      });
      const reader = new RecordReader(answeredSchema);
      const stop = (cause: unknown): void => {
        const error = NiiaError.from(cause);
        sender.stop(error);
        // It may wait for an asker that takes nothing any more.
        sink.fail(error);
      };
      stopped.catch(stop);
      const source = call.source(streams.input);
      // Asynchronous, so that what cannot be ends this call and not the connection.
      source.onData(async (bytes) => {
        for (const { header } of reader.take(bytes)) sender.answered(header);
      });
      source.done.catch(stop);
      try {
        await sender.run();
        return {};
      } finally {
        sender.stop(new NiiaError('cancelled', 'the copy is over'));
      }
    });
  }

  /** An asker that comes back takes the place of its connection that broke, once that has let go of its files. */
  async #alone<R>(
    call: ServedCall<'copy.put'> | ServedCall<'copy.get'>,
    asker: Principal,
    work: (stopped: Promise<never>) => Promise<R>,
  ): Promise<R> {
    const key = call.key === undefined ? undefined : `${asker.id}:${call.key}`;
    const before = key === undefined ? undefined : this.#running.get(key);
    before?.stop(new NiiaError('cancelled', 'the asker came back over another connection'));
    await before?.ended;
    let stop: (why: NiiaError) => void = () => undefined;
    const stopped = new Promise<never>((_, reject) => {
      stop = reject;
    });
    stopped.catch(() => undefined);
    const aborted = (): void => stop(NiiaError.from(call.signal.reason));
    call.signal.addEventListener('abort', aborted, { once: true });
    if (call.signal.aborted) aborted();
    const result = work(stopped);
    const running = { stop, ended: result.catch(() => undefined) };
    if (key !== undefined) this.#running.set(key, running);
    try {
      return await result;
    } finally {
      call.signal.removeEventListener('abort', aborted);
      if (key !== undefined && this.#running.get(key) === running) this.#running.delete(key);
    }
  }
}
