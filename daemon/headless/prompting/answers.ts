import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import { afterEcho, beforePrompt, betweenMarks, linesOf, promptStart } from '../../workers/answers/shell-answer.ts';
import type { Turn } from '../../workers/answers/transcript.ts';
import type { DrawnRow, Driver } from '../../workers/drivers/driver.ts';
import type { PromptRecord } from '../../workers/prompt/prompt-record.ts';
import type { Session } from '../session.ts';
import type { ScreenSource } from '../session-screen.ts';
import { answerFile } from './exec-turn.ts';
import { driverOf } from './prompt-desk.ts';
import { transcriptAnswer } from './transcripts.ts';

export interface Answer {
  text: string;
  source: ResultOf<'session.answer'>['source'];
  exact: boolean;
}

/** So much output before the prompt is drawn too: what comes later may move over it. */
const drawnBefore = 256 << 10;
const mostDrawn = 32 << 20;
const readBytes = 64 << 10;

/** What the worker answered to a finished prompt. Throws `failed` where nothing that is one is found. */
export async function answerTo(
  session: Session,
  record: PromptRecord,
  transcriptAllowed: boolean,
  signal: AbortSignal,
): Promise<Answer> {
  const { text } = record;
  if (text === undefined) {
    throw new NiiaError('failed', `the answer to ${record.id} is not kept any longer: later ones took its place`);
  }
  const driver = driverOf(session);
  if (driver.name === 'exec') {
    const bytes = await readFile(answerFile(session, record.id));
    // Answers are text: bytes that are none are told as replaced.
    return { text: bytes.toString('utf8'), source: 'stdout', exact: isUtf8(bytes) };
  }
  if (driver.transcript && transcriptAllowed && session.meta.worker) {
    const told = await transcriptAnswer(session, driver.transcript, turnOf(text, record), signal);
    if (told?.end === 'broken') {
      throw new NiiaError(
        'failed',
        `the turn of ${record.id} was broken off before its answer was complete`,
        `Look at it: niia read --session ${session.id}`,
      );
    }
    if (told?.answer !== undefined) return { text: told.answer, source: 'transcript', exact: told.end === 'over' };
  }
  const drawn = await fromOutput(session, driver, text, record);
  if (drawn !== undefined) return { text: drawn, source: 'output', exact: false };
  const { lines, cols } = await session.text(0);
  const rows = lines.map((text) => ({ text, continues: false }));
  const shown = driver.answer(rows, text, cols);
  if (shown !== undefined) return { text: shown, source: 'screen', exact: false };
  const last = lines
    .filter((line) => /[\p{L}\p{N}]/u.test(line))
    .slice(-8, -2)
    .map((line) => line.trim());
  throw new NiiaError(
    'failed',
    `the turn of ${record.id} ended and no answer to it was found; on the screen: ${last.join(' / ').slice(0, 500)}`,
    `Look at it: niia read --session ${session.id}`,
  );
}

function turnOf(text: string, { typedAt, acceptedAt, finishedAt }: PromptRecord): Turn {
  return { text, since: Date.parse(typedAt ?? acceptedAt), until: Date.parse(finishedAt ?? new Date().toISOString()) };
}

async function fromOutput(
  session: Session,
  driver: Driver,
  prompt: string,
  record: PromptRecord,
): Promise<string | undefined> {
  const { outputOffset: typedAt, endOffset: end } = record;
  if (typedAt === null || end === null || typedAt < session.log.firstOffset) return undefined;
  const from = Math.max(session.log.firstOffset, typedAt - drawnBefore);
  if (end - from > mostDrawn) return undefined;
  const size = session.sizes.from(typedAt)[0]?.size ?? session.size;
  if (driver.name !== 'shell' && driver.name !== 'generic') {
    // On the alternate screen what scrolled by is nowhere but in the program.
    const { rows, alternate } = await session.redrawn(part(session, from, end), from, size);
    return alternate ? undefined : driver.answer(rows, prompt, size.cols);
  }
  const bytes = await readAll(session, typedAt, end);
  const marked = betweenMarks(bytes);
  if (marked) {
    const { rows } = await session.redrawn(memory(marked), 0, size);
    return linesOf(withoutEmptyEnd(rows)).join('\n');
  }
  if (driver.name !== 'shell') return undefined;
  // Where the prompt stood when the command was typed.
  const before = await session.redrawn(part(session, from, typedAt), from, size);
  const start = promptStart(bytes);
  const until = start === undefined ? end : typedAt + start;
  const { rows } = await session.redrawn(part(session, from, until), from, size);
  const lines = linesOf(rows.slice(Math.max(0, before.rows.length - 1)));
  const written = start === undefined ? beforePrompt(lines, linesOf(before.rows).at(-1) ?? '') : lines;
  return afterEcho(written, prompt);
}

function withoutEmptyEnd(rows: readonly DrawnRow[]): DrawnRow[] {
  const last = rows.findLastIndex(({ text }) => text.trim() !== '');
  return rows.slice(0, last + 1);
}

/** The session's output up to `end`, as a log that ends there. */
function part({ log }: Session, from: number, end: number): ScreenSource {
  return {
    firstOffset: from,
    end,
    peek: (offset, most) => log.peek(offset, Math.min(most, end - offset)),
    read: async (offset, most) => await log.read(offset, Math.min(most, end - offset)),
  };
}

function memory(bytes: Uint8Array): ScreenSource {
  const peek = (offset: number, most: number) => bytes.subarray(offset, offset + most);
  return {
    firstOffset: 0,
    end: bytes.length,
    peek,
    read: async (offset, most) => ({ from: offset, bytes: peek(offset, most) }),
  };
}

async function readAll({ log }: Session, from: number, end: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let offset = from; offset < end; ) {
    const { from: at, bytes } = await log.read(offset, Math.min(readBytes, end - offset));
    if (bytes.length === 0) break;
    chunks.push(bytes);
    offset = at + bytes.length;
  }
  return Buffer.concat(chunks);
}
