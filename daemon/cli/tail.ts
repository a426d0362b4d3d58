import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import { OutputPosition } from './attach/output-position.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { Deadline } from './deadline.ts';
import { away, broke, Pauses } from './retry.ts';

export interface TailOptions {
  daemon: DaemonClient;
  deadline: Deadline;
  session: string | undefined;
  since: number | undefined;
  follow: boolean;
  /** Output, in order and each byte once. */
  output: (offset: number, bytes: Uint8Array) => Promise<void>;
  /** Output that the session no longer has. */
  gap: (from: number, to: number) => Promise<void>;
  /** The connection broke; it is taken up again. */
  lost: (error: NiiaError) => Promise<void>;
}

interface Gap {
  from: number;
  to: number;
}

/** Hands on a session's raw output; after a broken connection it goes on at the byte where that broke. */
export async function tail(options: TailOptions): Promise<ResultOf<'session.tail'>> {
  const { deadline, lost } = options;
  const position = new OutputPosition<Gap>();
  const pauses = new Pauses();
  let session = options.session;
  let started = false;
  for (;;) {
    try {
      const since = started ? position.resumeAt : options.since;
      return await tailOnce({ ...options, session, since }, position, (id) => {
        session = id;
        started = true;
        pauses.reset();
      });
    } catch (cause) {
      if (!(cause instanceof NiiaError) || !started || !(broke(cause) || away(cause))) throw cause;
      await lost(cause);
    }
    await pauses.wait();
    if (deadline.leftMs === 0) throw deadline.expired();
  }
}

async function tailOnce(
  { daemon, session, since, follow, output, gap }: TailOptions,
  position: OutputPosition<Gap>,
  started: (session: string) => void,
): Promise<ResultOf<'session.tail'>> {
  const call = await daemon.call('session.tail', { session, since, follow });
  let failure: unknown;
  const present = async (bytes: Uint8Array): Promise<void> => {
    try {
      for (const piece of position.take(bytes)) {
        if ('bytes' in piece) await output(piece.offset, piece.bytes);
        else await gap(piece.mark.from, piece.mark.to);
      }
    } catch (error) {
      failure ??= error;
      call.cancel();
      throw error;
    }
  };
  call.onEvent((event) => {
    if (event.type === 'start') {
      started(event.session);
      position.start(event.offset);
    } else {
      position.mark({ at: event.from, to: event.to, what: { from: event.from, to: event.to } });
    }
  });
  const source = call.source(streams.output);
  source.onData(present);
  try {
    const result = await call.result;
    await source.done;
    // A gap may be the last thing there is.
    await present(new Uint8Array());
    return result;
  } catch (error) {
    // What arrived before the break is handed on first: only then is it known where to go on.
    await Promise.allSettled([source.done]);
    throw failure ?? error;
  }
}
