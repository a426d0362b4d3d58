import { randomUUID } from 'node:crypto';
import { NiiaError } from '../../../shared/errors.ts';
import { answeredSchema, sentSchema } from '../../../shared/protocol/copy-methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { encodeRecord, RecordReader } from '../../files/copy-wire.ts';
import { toName } from '../../files/names.ts';
import { Receiver } from '../../files/receiver.ts';
import { type Place, Sender } from '../../files/sender.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { away, broke, Pauses } from '../retry.ts';
import type { CopyProgress } from './copy-progress.ts';

export interface CopyOptions {
  daemon: DaemonClient;
  way: 'put' | 'get';
  sources: readonly Buffer[];
  into: Buffer;
  names: readonly Buffer[];
  progress: CopyProgress;
  /** Where locks of files that are written here are kept. */
  locks: string;
  /** Ends the copy, in such a way that it can be taken up. */
  signal: AbortSignal;
}

/** How long a copy waits for a connection to come back, each time that it made some progress. */
const patienceMs = 10 * 60_000;

/**
 * Copies, over as many connections as it takes: each goes on after the last entry that was done with. Rejects with the
 * reason of `signal` once everything is closed.
 */
export async function resumingCopy(options: CopyOptions): Promise<void> {
  const { progress, signal } = options;
  const key = randomUUID();
  const pauses = new Pauses();
  let place: Place | undefined;
  let until: number | undefined;
  for (;;) {
    const bytes = progress.counts.bytes;
    try {
      return await (options.way === 'put' ? put : get)(options, key, place, (reached) => {
        place = reached;
      });
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      const error = NiiaError.from(cause);
      if (!broke(error) && !(until !== undefined && away(error))) throw error;
      const moved = progress.counts.bytes > bytes;
      if (until === undefined) progress.say(`niia: ${error.message}; the copy goes on when it is back`);
      if (until === undefined || moved) until = performance.now() + patienceMs;
      if (moved) pauses.reset();
      if (performance.now() >= until) throw error;
      progress.again();
    }
    await pauses.wait(signal);
  }
}

async function put(
  { daemon, sources, into, names, progress, signal }: CopyOptions,
  key: string,
  after: Place | undefined,
  reached: (place: Place | undefined) => void,
): Promise<void> {
  const call = await daemon.call('copy.put', { into: toName(into), names: names.map(toName) }, { key, signal });
  const sink = call.sink(streams.input);
  const sender = new Sender({
    sources,
    after,
    total: progress.isShown,
    send: (record, body) => sink.writeAll(encodeRecord(record, body)),
    report: progress,
  });
  const reader = new RecordReader(answeredSchema);
  const answers = call.source(streams.output);
  let failure: unknown;
  answers.onData(async (bytes) => {
    try {
      for (const { header } of reader.take(bytes)) sender.answered(header);
    } catch (error) {
      failure ??= error;
      call.cancel();
      throw error;
    }
  });
  call.result.catch((error: unknown) => sender.stop(NiiaError.from(error)));
  try {
    await sender.run();
    sink.end();
    await call.result;
    await answers.done;
  } catch (error) {
    throw failure ?? error;
  } finally {
    sender.stop(new NiiaError('cancelled', 'the connection is over'));
    call.cancel();
    await Promise.allSettled([answers.done]);
    reached(sender.place);
  }
}

async function get(
  { daemon, sources, into, names, progress, locks, signal }: CopyOptions,
  key: string,
  after: Place | undefined,
  reached: (place: Place | undefined) => void,
): Promise<void> {
  const from = after && { source: after.source, path: after.path.map(toName) };
  const call = await daemon.call(
    'copy.get',
    { sources: sources.map(toName), total: progress.isShown, ...(from && { after: from }) },
    { key, signal },
  );
  const sink = call.sink(streams.input);
  const receiver = new Receiver({
    into,
    names,
    locks,
    send: (answer) => sink.writeAll(encodeRecord(answer)),
    report: progress,
  });
  await receiver.open();
  const reader = new RecordReader(sentSchema);
  const source = call.source(streams.output);
  let failure: unknown;
  source.onData(async (bytes) => {
    try {
      for (const { header, body } of reader.take(bytes)) await receiver.take(header, body);
    } catch (error) {
      failure ??= error;
      call.cancel();
      throw error;
    }
  });
  try {
    await call.result;
    await source.done;
    if (!receiver.finished) throw new NiiaError('bad_request', 'the copy ended before it was done');
  } catch (error) {
    throw failure ?? error;
  } finally {
    await Promise.allSettled([source.done]);
    await receiver.close();
    reached(receiver.place ?? after);
  }
}
