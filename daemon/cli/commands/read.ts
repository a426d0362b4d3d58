import { NiiaError } from '../../../shared/errors.ts';
import type { Context, Run } from '../context.ts';
import type { OptionValues } from '../spec.ts';
import type { Specs } from '../specs/all.ts';
import { tail } from '../tail.ts';
import { wholeNumber } from '../values.ts';
import { whichSession } from '../which-session.ts';

type Options = OptionValues<Specs['read']['options']>;

export const read: Run<Specs['read']> = async ({ options }, context) => {
  const session = whichSession(context.daemon, options.session);
  const raw = options.raw || options.follow;
  if (raw && options.scrollback !== undefined) {
    throw new NiiaError('usage', '--scrollback is for the screen as text, not for raw output');
  }
  if (!raw && options.since !== undefined) throw new NiiaError('usage', '--since goes with --raw or --follow only');
  if (!raw) await readScreen(session, options, context);
  else if (context.out.json && !options.follow) await readValue(session, options, context);
  else await readStream(session, options, context);
};

async function readScreen(session: string | undefined, options: Options, { daemon, out }: Context): Promise<void> {
  const scrollback = options.scrollback === undefined ? undefined : wholeNumber(options.scrollback, '--scrollback');
  const result = await daemon.query('session.read', { session, scrollback });
  await out.result(result, () => {
    const last = result.lines.findLastIndex((line) => line.trim() !== '');
    return result.lines
      .slice(0, last + 1)
      .map((line) => `${line}\n`)
      .join('');
  });
}

/** Raw output to stdout as it comes. */
async function readStream(session: string | undefined, options: Options, context: Context): Promise<void> {
  const { daemon, deadline, out } = context;
  const { id, since } = await startOf(session, options, context);
  let told = false;
  const result = await tail({
    daemon,
    deadline,
    session: id,
    since,
    follow: options.follow,
    output: async (offset, bytes) => {
      told = false;
      if (out.json) await out.text(`${JSON.stringify({ offset, base64: Buffer.from(bytes).toString('base64') })}\n`);
      else await out.bytes(bytes);
    },
    gap: async (from, to) => {
      if (out.json) await out.text(`${JSON.stringify({ gap: { from, to } })}\n`);
      else await out.advice(`niia: output from byte ${from} to ${to} is no longer kept`);
    },
    lost: async (error) => {
      if (!told) await out.advice(`niia: ${error.message}; trying again`);
      told = true;
    },
  });
  const { offset, exitCode, signal } = result;
  if (out.json) await out.text(`${JSON.stringify({ offset, exitCode, signal })}\n`);
}

/** All the raw output there is, as one JSON value. */
async function readValue(session: string | undefined, options: Options, context: Context): Promise<void> {
  const { daemon, deadline, out } = context;
  const { since } = await startOf(session, options, context);
  const chunks: Uint8Array[] = [];
  let start: number | undefined;
  let gap: { from: number; to: number } | null = null;
  const result = await tail({
    daemon,
    deadline,
    session,
    since,
    follow: false,
    output: async (offset, bytes) => {
      start ??= offset;
      chunks.push(bytes);
    },
    gap: async (from, to) => {
      gap ??= { from, to };
    },
    lost: async () => undefined,
  });
  const { machine, offset: end, firstOffset } = result;
  const base64 = Buffer.concat(chunks).toString('base64');
  const value = { session: result.session, machine, offset: start ?? end, end, firstOffset, gap, base64 };
  await out.text(`${JSON.stringify(value)}\n`);
}

/** `--follow` alone starts now; `--raw` starts at the oldest byte that is kept. */
async function startOf(
  session: string | undefined,
  { raw, since }: Options,
  { daemon }: Context,
): Promise<{ id: string | undefined; since: number | undefined }> {
  if (since !== undefined) return { id: session, since: wholeNumber(since, '--since') };
  if (raw) return { id: session, since: undefined };
  const now = await daemon.query('session.read', { session });
  return { id: now.session, since: now.offset };
}
