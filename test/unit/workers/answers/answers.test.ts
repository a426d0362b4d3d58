import { describe, expect, it } from 'vitest';
import { afterEcho, betweenMarks } from '../../../../daemon/workers/answers/shell-answer.ts';
import { turnOf } from '../../../../daemon/workers/answers/transcript.ts';
import { codex } from '../../../../daemon/workers/drivers/codex.ts';
import { rejoined } from '../../../../daemon/workers/drivers/drawn-answer.ts';
import { gemini } from '../../../../daemon/workers/drivers/gemini.ts';

const rows = (...texts: string[]) => texts.map((text) => ({ text, continues: false }));

describe('answers that were drawn', () => {
  it('are the last block after the prompt, without marks, tools and what follows', () => {
    const drawn = rows(
      '› ask',
      '• An older one.',
      '› ask',
      '',
      '• I will look.',
      '• Ran ls',
      '  └ file',
      '',
      '• It is',
      '',
      '  done.',
      '',
      '  Worked for 3s',
    );
    expect(codex.answer(drawn, 'ask', 80)).toBe('It is\n\ndone.');
    expect(codex.answer(drawn, 'never asked', 80)).toBeUndefined();
  });

  it('end before the box of the next prompt', () => {
    expect(gemini.answer(rows(' > hi', '▀▀▀', '✦ Hello.', '', '▄▄▄', ' >   Type'), 'hi', 80)).toBe('Hello.');
  });

  it('are joined where the next word would not have fitted, and only there', () => {
    expect(rejoined(rows('a line that is just', 'wrapped', 'short', 'and new'), 20)).toBe(
      'a line that is just wrapped\nshort\nand new',
    );
    expect(
      rejoined(
        [
          { text: 'cut in the mi', continues: false },
          { text: 'ddle', continues: true },
        ],
        13,
      ),
    ).toBe('cut in the middle');
  });
});

describe('what a command wrote', () => {
  it('stands between the marks of shell integration', () => {
    const bytes = Buffer.from('$ ls\r\n\x1b]133;C\x07a\r\nb\r\n\x1b]133;D;0\x07\x1b]133;A\x07$ ');
    expect(Buffer.from(betweenMarks(bytes) ?? []).toString()).toBe('a\r\nb\r\n');
    expect(betweenMarks(Buffer.from('no marks'))).toBeUndefined();
  });

  it('stands between the echo and the next prompt', () => {
    expect(afterEcho(['me$ for i in 1; do', '> echo $i', '> done', '1', 'me$ '], 'for i in 1; do\necho $i\ndone')).toBe(
      '1',
    );
    expect(afterEcho(['me$ true', 'me$ '], 'true')).toBe('');
    expect(afterEcho(['something else', 'me$ '], 'true')).toBeUndefined();
  });
});

describe('records of conversations', () => {
  const at = '2026-11-24T17:00:10.000Z';
  const since = Date.parse(at);
  const json = (...values: object[]) => values.map((value) => JSON.stringify(value));
  const codexMessage = (role: string, text: string, timestamp = at) => ({
    ...{ timestamp, type: 'response_item' },
    payload: { type: 'message', role, content: [{ type: role === 'user' ? 'input_text' : 'output_text', text }] },
  });

  it('tell the last thing that codex said in the turn, and whether the turn is over', () => {
    const lines = json(
      codexMessage('user', 'ask', '2026-11-24T16:00:00.000Z'),
      codexMessage('assistant', 'from an hour ago'),
      codexMessage('user', '<environment_context>not typed</environment_context>'),
      codexMessage('user', 'ask'),
      codexMessage('assistant', 'I will look.'),
      codexMessage('assistant', 'It is done.'),
    );
    expect(turnOf('codex', lines, 'ask', since)).toMatchObject({ answer: 'It is done.', complete: false });
    const over = json({ timestamp: at, type: 'event_msg', payload: { type: 'task_complete' } });
    expect(turnOf('codex', [...lines, ...over, '{"torn'], 'ask', since)).toMatchObject({ complete: true });
    expect(turnOf('codex', lines, 'something else', since)).toBeUndefined();
  });

  it('tell what claude said, whatever it put around a paste', () => {
    const lines = json(
      {
        type: 'user',
        timestamp: at,
        cwd: '/r',
        message: { content: '<pasted_content id="a">\na\nb\n</pasted_content>' },
      },
      { type: 'assistant', timestamp: at, message: { content: [{ type: 'thinking', text: 'hm' }] } },
      { type: 'assistant', timestamp: at, isSidechain: true, message: { content: [{ type: 'text', text: 'not it' }] } },
      { type: 'assistant', timestamp: at, message: { content: [{ type: 'text', text: 'It.' }] } },
      { type: 'system', subtype: 'turn_duration', timestamp: at },
    );
    expect(turnOf('claude', lines, 'a\nb', since)).toEqual({ answer: 'It.', complete: true, cwd: '/r' });
  });

  it('tell what gemini said, and end a turn at the next prompt', () => {
    const lines = json(
      { type: 'user', timestamp: at, content: [{ text: 'ask' }] },
      { type: 'gemini', timestamp: at, content: 'First.' },
      { type: 'user', timestamp: at, content: [{ text: 'next' }] },
      { type: 'gemini', timestamp: at, content: 'Second.' },
    );
    expect(turnOf('gemini', lines, 'ask', since)).toMatchObject({ answer: 'First.', complete: true });
  });
});
