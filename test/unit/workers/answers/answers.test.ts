import { Terminal } from '@xterm/headless';
import { describe, expect, it } from 'vitest';
import { afterEcho, beforePrompt, betweenMarks, promptStart } from '../../../../daemon/workers/answers/shell-answer.ts';
import type { TranscriptKind } from '../../../../daemon/workers/answers/transcript.ts';
import { TurnSearch } from '../../../../daemon/workers/answers/transcript.ts';
import { codex } from '../../../../daemon/workers/drivers/codex.ts';
import { columnsOf } from '../../../../daemon/workers/drivers/columns.ts';
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

  it('are joined by the columns that their characters take, wide ones without a blank', () => {
    const chinese = '漢字'.repeat(50);
    expect(rejoined(rows(chinese.slice(0, 59), chinese.slice(59)), 118)).toBe(chinese);
    // An odd column is left where a wide character does not fit into it.
    expect(rejoined(rows(`a${chinese.slice(0, 58)}`, chinese.slice(58)), 118)).toBe(`a${chinese}`);
    expect(rejoined(rows('漢字。', '漢字'), 118)).toBe('漢字。\n漢字');
    expect(rejoined(rows('漢字漢字 and', 'words'), 14)).toBe('漢字漢字 and words');
    expect(rejoined(rows('漢字漢字 and', 'words'), 18)).toBe('漢字漢字 and\nwords');
  });

  it('leave lines of code as they were drawn', () => {
    const full = 'x'.repeat(20);
    for (const code of [
      ['```', full, full, '```'],
      [`  ${full}`, 'and text'],
      ['text', `  ${full}`, `  ${full}`],
    ]) {
      expect(rejoined(rows(...code), 20)).toBe(code.join('\n'));
    }
  });

  it('are none where the turn was broken off behind them', () => {
    const said = ['› ask', '', '• I will look.', ''];
    const interrupted = rows(...said, '■ Conversation interrupted - use /feedback if something went wrong');
    expect(codex.answer(interrupted, 'ask', 80)).toBeUndefined();
    expect(codex.answer(rows(...said, '  Worked for 3s'), 'ask', 80)).toBe('I will look.');
    expect(gemini.answer(rows(' > ask', '✦ I will', '', 'ℹ Request cancelled.'), 'ask', 80)).toBeUndefined();
  });

  it('count columns as the terminal does that draws them', async () => {
    const terminal = new Terminal({ cols: 200, rows: 2, allowProposedApi: true });
    for (const text of ['plain', '漢字かな', '한국어', 'e\u0301', 'ａ！', '→ • ✦', 'ﾊﾝｶｸ', '\u{20000}']) {
      await new Promise<void>((done) => terminal.write(`\r\x1b[2K${text}`, done));
      expect([text, columnsOf(text)]).toEqual([text, terminal.buffer.active.cursorX]);
    }
    terminal.dispose();
    // What this terminal knows of Unicode is older than emoji.
    expect(columnsOf('😀🚀')).toBe(4);
  });
});

describe('what a command wrote', () => {
  it('stands between the marks of shell integration', () => {
    const bytes = Buffer.from('$ ls\r\n\x1b]133;C\x07a\r\nb\r\n\x1b]133;D;0\x07\x1b]133;A\x07$ ');
    expect(Buffer.from(betweenMarks(bytes) ?? []).toString()).toBe('a\r\nb\r\n');
    expect(betweenMarks(Buffer.from('no marks'))).toBeUndefined();
  });

  it('stands between the echo and the next prompt, with or without a line end of its own', () => {
    const loop = 'for i in 1; do\necho $i\ndone';
    const answer = (lines: string[], command: string) => afterEcho(beforePrompt(lines, 'me$'), command);
    expect(answer(['me$ for i in 1; do', '> echo $i', '> done', '1', 'me$'], loop)).toBe('1');
    expect(answer(['me$ true', 'me$'], 'true')).toBe('');
    expect(answer(['me$ printf foo', 'foome$'], 'printf foo')).toBe('foo');
    expect(answer(['me$ cd x', 'me at x$'], 'cd x')).toBe('');
    expect(answer(['something else', 'me$'], 'true')).toBeUndefined();
  });

  it('ends where a line editor begins its prompt, if it says so before it draws that', () => {
    const output = Buffer.from('echo a\r\n\x1b[?2004l\ra\r\n\x1b[?2004hme\r\n$ ');
    expect(promptStart(output)).toBe(output.lastIndexOf('\x1b[?2004h'));
    expect(promptStart(Buffer.from('a\r\nme% \x1b[K\x1b[?2004h'))).toBeUndefined();
    expect(promptStart(Buffer.from('a\r\n$ '))).toBeUndefined();
  });
});

describe('records of conversations', () => {
  const clock = (seconds: number) => new Date(Date.UTC(2026, 10, 24, 17, 0, seconds)).toISOString();
  const at = clock(10);
  const json = (...values: object[]) => values.map((value) => JSON.stringify(value));
  const codexMessage = (role: string, text: string, timestamp = at) => ({
    ...{ timestamp, type: 'response_item' },
    payload: { type: 'message', role, content: [{ type: role === 'user' ? 'input_text' : 'output_text', text }] },
  });
  const codexEvent = (type: string) => ({ timestamp: at, type: 'event_msg', payload: { type } });
  /** What is said of a prompt that was typed and finished at these seconds. */
  const told = (kind: TranscriptKind, lines: readonly string[], text: string, [since, until] = [10, 20]) => {
    const turn = { text, since: Date.parse(clock(since ?? 0)), until: Date.parse(clock(until ?? 0)) };
    const search = new TurnSearch(kind, turn);
    for (const line of lines) search.take(line);
    return search.told && { ...search.told, ...search.about };
  };

  it('tell the last thing that codex said in the turn, and whether the turn is over', () => {
    const lines = json(
      codexMessage('user', 'ask', '2026-11-24T16:00:00.000Z'),
      codexMessage('assistant', 'from an hour ago'),
      codexMessage('user', '<environment_context>not typed</environment_context>'),
      codexMessage('user', 'ask'),
      codexMessage('assistant', 'I will look.'),
      codexMessage('assistant', 'It is done.'),
    );
    expect(told('codex', lines, 'ask')).toEqual({ answer: 'It is done.', end: undefined });
    const over = json(codexEvent('task_complete'));
    expect(told('codex', [...lines, ...over, '{"torn'], 'ask')).toMatchObject({ end: 'over' });
    expect(told('codex', lines, 'something else')).toBeUndefined();
  });

  it('tell each of several turns of the same words apart', () => {
    const lines = json(
      codexMessage('user', 'continue', clock(10)),
      codexMessage('assistant', 'First.'),
      codexMessage('user', 'continue', clock(13)),
      codexMessage('assistant', 'Second.'),
    );
    expect(told('codex', lines, 'continue', [9, 12])).toMatchObject({ answer: 'First.', end: 'over' });
    expect(told('codex', lines, 'continue', [12, 15])).toMatchObject({ answer: 'Second.' });
    expect(told('codex', lines, 'continue', [16, 20])).toBeUndefined();
    // Both went to the program before it answered either.
    expect(told('codex', lines, 'continue', [9, 20])).toMatchObject({ answer: 'First.', end: 'over' });
  });

  it('say when a turn was broken off, though something was said before', () => {
    const said = codexMessage('assistant', 'I will look.');
    const codexLines = json(codexMessage('user', 'ask'), said, codexEvent('turn_aborted'));
    expect(told('codex', codexLines, 'ask')).toMatchObject({ end: 'broken' });
    const user = (content: string) => ({ type: 'user', timestamp: at, message: { content } });
    const claudeLines = json(user('ask'), user('[Request interrupted by user]'), user('next'));
    expect(told('claude', claudeLines, 'ask')).toMatchObject({ end: 'broken' });
    const geminiLines = json(
      { type: 'user', timestamp: at, content: [{ text: 'ask' }] },
      { type: 'gemini', timestamp: at, content: 'I will', toolCalls: [{}] },
      { type: 'info', timestamp: at, content: 'Request cancelled.' },
    );
    expect(told('gemini', geminiLines, 'ask')).toMatchObject({ end: 'broken' });
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
    expect(told('claude', lines, 'a\nb')).toEqual({ answer: 'It.', end: 'over', folder: '/r' });
  });

  it('tell what gemini said, and that it said it last', () => {
    const tools = { toolCalls: [{ name: 'run_shell_command' }] };
    const calls = json(
      { projectHash: 'abc' },
      { type: 'user', timestamp: at, content: [{ text: 'ask' }] },
      { type: 'gemini', id: '1', timestamp: at, content: 'I will look.' },
      { type: 'gemini', id: '1', timestamp: at, content: 'I will look.', ...tools },
      { type: 'user', timestamp: at, content: [{ functionResponse: {} }] },
    );
    expect(told('gemini', calls, 'ask')).toEqual({ answer: 'I will look.', end: undefined, folderHash: 'abc' });
    const answered = [...calls, ...json({ type: 'gemini', id: '2', timestamp: at, content: 'First.' })];
    expect(told('gemini', answered, 'ask')).toMatchObject({ answer: 'First.', end: 'over' });
    const next = json({ type: 'user', timestamp: at, content: [{ text: 'next' }] });
    const after = [...answered, ...next, ...json({ type: 'gemini', timestamp: at, content: 'Second.' })];
    expect(told('gemini', after, 'ask')).toMatchObject({ answer: 'First.', end: 'over' });
  });
});
