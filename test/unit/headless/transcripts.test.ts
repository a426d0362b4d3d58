import { appendFileSync, closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { transcriptAnswer } from '../../../daemon/headless/prompting/transcripts.ts';
import { temporaryFolder } from './support.ts';

const since = Date.parse('2026-11-24T17:00:00.000Z');
const turn = { text: 'ask', since, until: since + 60_000 };
const event = (payload: object) => `${JSON.stringify({ timestamp: '2026-11-24T17:00:10.000Z', ...payload })}\n`;
const message = (role: string, text: string) =>
  event({ type: 'response_item', payload: { type: 'message', role, content: [{ type: `${role}_text`, text }] } })
    .replace('user_text', 'input_text')
    .replace('assistant_text', 'output_text');
const over = event({ type: 'event_msg', payload: { type: 'task_complete' } });

/** A session of codex in a folder, and the records of conversations in its home. */
function stage() {
  const root = temporaryFolder();
  const [cwd, day] = [join(root, 'repo'), join(root, 'codex', 'sessions', '2026', '11', '24')];
  mkdirSync(cwd);
  mkdirSync(day, { recursive: true });
  const record = (name: string, folder: string, ...lines: string[]): string => {
    const path = join(day, `${name}.jsonl`);
    writeFileSync(path, [event({ type: 'session_meta', payload: { cwd: folder } }), ...lines].join(''));
    return path;
  };
  const session = { command: { env: { CODEX_HOME: join(root, 'codex') } }, meta: { cwd, pid: process.pid } };
  const answer = (meta = session.meta) =>
    transcriptAnswer({ ...session, meta }, 'codex', turn, new AbortController().signal);
  return { root, cwd, session, record, answer };
}

describe('a record of a conversation', () => {
  test('is not taken for this session only because no other has the prompt', async () => {
    const { root, record, answer } = stage();
    record('one', root, message('user', 'ask'), message('assistant', 'of another'), over);
    expect(await answer()).toBeUndefined();
  });

  test("is this session's by its folder, whatever links lead there", async () => {
    const { root, cwd, session, record, answer } = stage();
    record('one', cwd, message('user', 'ask'), message('assistant', 'ours'), over);
    record('two', root, message('user', 'ask'), message('assistant', 'of another'), over);
    symlinkSync(cwd, join(root, 'link'));
    expect(await answer({ ...session.meta, cwd: join(root, 'link') })).toEqual({ answer: 'ours', end: 'over' });
  });

  test("is that which the session's program has open, where two are about its folder; else none", async () => {
    const { cwd, record, answer } = stage();
    const path = record('one', cwd, message('user', 'ask'), message('assistant', 'ours'), over);
    record('two', cwd, message('user', 'ask'), message('assistant', 'of another'), over);
    expect(await answer()).toBeUndefined();
    const held = openSync(path, 'a');
    expect(await answer()).toEqual({ answer: 'ours', end: 'over' });
    closeSync(held);
  });

  test('is read on as it grows, lines that are written in pieces and long ones included', async () => {
    const { cwd, record, answer } = stage();
    const long = 'long '.repeat(200_000);
    const last = message('assistant', long);
    const path = record('one', cwd, message('user', 'ask'), message('assistant', 'before'), last.slice(0, 300_000));
    const answered = answer();
    setTimeout(() => appendFileSync(path, last.slice(300_000)), 150);
    setTimeout(() => appendFileSync(path, over), 300);
    expect(await answered).toEqual({ answer: long, end: 'over' });
  });

  test('that does not say how the turn ended is told as it is', async () => {
    const { cwd, record, answer } = stage();
    record('one', cwd, message('user', 'ask'), message('assistant', 'so far'));
    expect(await answer()).toEqual({ answer: 'so far', end: undefined });
  });
});
