import { randomUUID } from 'node:crypto';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { Run } from '../context.ts';
import { exactBytes } from '../exact-bytes.ts';
import type { Specs } from '../specs/all.ts';
import { whichSession } from '../which-session.ts';

type Receipt = ResultOf<'session.write'>;

/** Bytes in one request. */
const chunkBytes = 256 << 10;

export const write: Run<Specs['write']> = async ({ args: [text], places: [place], options }, { daemon, out }) => {
  if ((text === undefined) !== options.stdin) {
    throw new NiiaError(
      'usage',
      text === undefined ? 'there is nothing to type' : 'TEXT and --stdin exclude each other',
      'niia write --session S TEXT, or --stdin for bytes from the input',
    );
  }
  const source =
    text === undefined
      ? inputChunks()
      : pieces(exactBytes(text, place, 'Give such bytes on the input: niia write --session S --stdin'));
  const named = whichSession(daemon, options.session);
  const cwd = named === undefined && (await daemon.isHere()) ? process.cwd() : undefined;
  const client = randomUUID();
  const receipts: Receipt[] = [];
  const type = async (body: Uint8Array): Promise<void> => {
    // What the first request chose or made is where the others go.
    const session = receipts[0]?.session ?? named;
    const which = session === undefined ? { create: true, cwd } : { session };
    receipts.push(await daemon.change('session.write', which, { body, key: `${client}.${receipts.length}` }));
  };
  for await (const body of source) await type(body);
  if (receipts.length === 0) await type(new Uint8Array());
  await out.result(merged(receipts), () => '');
};

async function* inputChunks(): AsyncGenerator<Uint8Array> {
  for await (const chunk of process.stdin) yield* pieces(Buffer.from(chunk));
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** One receipt for all: typed from the first one's offset on, acknowledged by the last one's receipt. */
function merged(receipts: readonly Receipt[]): Receipt & { receipts: string[] } {
  const first = receipts[0];
  const last = receipts.at(-1);
  if (!first || !last) throw new NiiaError('internal', 'nothing was typed and nothing failed');
  const bytes = receipts.reduce((sum, { bytes }) => sum + bytes, 0);
  return { ...first, bytes, receipt: last.receipt, receipts: receipts.map(({ receipt }) => receipt) };
}
