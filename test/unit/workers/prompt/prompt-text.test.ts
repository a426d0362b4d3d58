import { describe, expect, it } from 'vitest';
import { isTerminalsOwn, PersonTyping } from '../../../../daemon/workers/prompt/person-typing.ts';
import type { PromptRecord } from '../../../../daemon/workers/prompt/prompt-record.ts';
import { afterLoss, applyEntry } from '../../../../daemon/workers/prompt/prompt-record.ts';
import { longestPrompt, promptText, typedBytes } from '../../../../daemon/workers/prompt/prompt-text.ts';

const text = (given: string) => promptText(Buffer.from(given));

describe('the text of a prompt', () => {
  it('keeps lines, tabs and every letter, and loses what steers terminals', () => {
    expect(text('a\tb\r\nc\x1b[201~d\x07\u009b ü 好 👍\n\n')).toEqual({ text: 'a\tb\nc[201~d ü 好 👍', removed: 3 });
  });

  it.each([
    ['nothing', Buffer.from(' \n')],
    ['no UTF-8', Buffer.from([0x68, 0xff])],
    ['too much', Buffer.alloc(longestPrompt + 1, 'a')],
  ])('is refused where it is %s', (_, bytes) => {
    expect(() => promptText(bytes)).toThrow(expect.objectContaining({ exitCode: 2 }));
  });

  it('cannot end its own paste', () => {
    const typed = Buffer.from(typedBytes(text('x\x1b[201~\ry').text, true, 'single')).toString();
    expect(typed).toBe('\x1b[200~x[201~\ry\x1b[201~');
  });

  it('goes line by line into a shell without pasting, and into nothing else', () => {
    expect(Buffer.from(typedBytes('a\n\tb', false, 'lines')).toString()).toBe('a\r    b');
    expect(() => typedBytes('a\nb', false, 'single')).toThrow(/several lines/);
  });
});

describe('who types', () => {
  it.each([
    '\x1b[?62;4c',
    '\x1b[12;40R',
    '\x1b[I',
    '\x1b]11;rgb:0000/0000/0000\x07',
    '\x1bP1+r524742\x1b\\',
    '\x1b[?1u',
  ])('takes %j for the terminal itself', (bytes) => expect(isTerminalsOwn(Buffer.from(bytes))).toBe(true));

  it.each(['a', '\r', '\x1b', '\x1b[A', '\x1b[200~pasted\x1b[201~', 'x\x1b[I'])('takes %j for a person', (bytes) =>
    expect(isTerminalsOwn(Buffer.from(bytes))).toBe(false),
  );

  it('knows whether something of a line is left', () => {
    const people = new PersonTyping();
    people.typed(Buffer.from('half a li'), 5);
    expect([people.at, people.pending]).toEqual([5, true]);
    people.typed(Buffer.from('ne\r'), 6);
    expect([people.at, people.pending]).toEqual([6, false]);
  });
});

describe('the journal of a prompt', () => {
  const records = (): Map<string, PromptRecord> => {
    const all = new Map<string, PromptRecord>();
    applyEntry(all, { is: 'accepted', id: 'p', at: '1', text: 't', removed: 0, owner: 'o' });
    return all;
  };

  it('never calls untouched what may have been typed', () => {
    const all = records();
    const record = all.get('p') as PromptRecord;
    expect(afterLoss(record)).toMatchObject({ state: 'failed' });
    applyEntry(all, { is: 'typing', id: 'p', at: '2', offset: 7 });
    expect(afterLoss(record)).toMatchObject({ state: 'unknown' });
    applyEntry(all, { is: 'typed', id: 'p', at: '3' });
    applyEntry(all, { is: 'submitted', id: 'p', at: '4' });
    expect(afterLoss(record)).toMatchObject({ state: 'unknown' });
    applyEntry(all, { is: 'finished', id: 'p', at: '5', offset: 9 });
    expect(afterLoss(record)).toBeUndefined();
  });

  it('knows nothing of a prompt that was withdrawn, or never accepted', () => {
    const all = records();
    applyEntry(all, { is: 'withdrawn', id: 'p', at: '2' });
    applyEntry(all, { is: 'typed', id: 'other', at: '3' });
    expect(all.size).toBe(0);
  });
});
