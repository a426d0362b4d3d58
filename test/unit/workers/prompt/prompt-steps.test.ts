import { describe, expect, it } from 'vitest';
import { codex } from '../../../../daemon/workers/drivers/codex.ts';
import { generic } from '../../../../daemon/workers/drivers/generic.ts';
import { shell } from '../../../../daemon/workers/drivers/shell.ts';
import type { PromptView, Step } from '../../../../daemon/workers/prompt/prompt-steps.ts';
import { PromptSteps, personQuietMs } from '../../../../daemon/workers/prompt/prompt-steps.ts';

const ready: PromptView = {
  ...{ now: 10_000, live: true, state: 'idle', stateAt: 0, leftReadyAt: undefined, box: '', newLine: false },
  ...{ outputAt: 0, personAt: undefined, personPending: false, unread: 0, pastes: true },
};

class Prompt {
  readonly #steps: PromptSteps;
  #view: PromptView;

  constructor(text = 'do it', driver = codex) {
    this.#steps = new PromptSteps(driver.submit, text, driver.name === 'generic');
    this.#view = driver.submit.hasBox ? ready : { ...ready, box: undefined };
  }

  see(change: Partial<PromptView>, later = 0): Step {
    this.#view = { ...this.#view, now: this.#view.now + later, ...change };
    return this.#steps.next(this.#view);
  }

  /** As far as the first Enter. */
  entered(): this {
    expect(this.see({}).do).toBe('type');
    expect(this.see({ box: 'do it' }, 10).do).toBe('wait');
    expect(this.see({}, 500).do).toBe('enter');
    return this;
  }
}

describe('a prompt on its way into a program', () => {
  it('is typed once, entered once, and over when the worker is ready again', () => {
    const prompt = new Prompt().entered();
    expect(prompt.see({ box: '' }, 20).do).toBe('wait');
    expect(prompt.see({ state: 'busy', leftReadyAt: 10_600, stateAt: 10_600 }, 100).do).toBe('submitted');
    expect(prompt.see({}, 1000).do).toBe('wait');
    expect(prompt.see({ state: 'idle', stateAt: 12_000 }, 500).do).toBe('wait');
    expect(prompt.see({}, 1000).do).toBe('finish');
  });

  it.each([
    ['the worker is busy', { state: 'busy' }],
    ['it is not known what the worker does', { state: 'unknown' }],
    ['the worker asks a person', { state: 'blocked' }],
    ['its box is not on the screen', { box: undefined }],
    ['a draft stands in its box', { box: 'a thought' }],
    ['a person is typing', { personAt: 10_000 - personQuietMs + 1 }],
  ] as const)('waits while %s', (_, view) => {
    expect(new Prompt().see(view).do).toBe('wait');
  });

  it('waits for a shell in which a person has typed half a line', () => {
    expect(new Prompt('ls', shell).see({ personAt: 0, personPending: true }).do).toBe('wait');
    expect(new Prompt('ls', shell).see({ personAt: 0, personPending: false }).do).toBe('type');
  });

  it('presses Enter again only once, and only while the text remains and nobody else typed [WORK-9]', () => {
    const prompt = new Prompt().entered();
    expect(prompt.see({ box: 'do it' }, 3100).do).toBe('enter');
    expect(prompt.see({}, 3100).do).toBe('wait');
    expect(prompt.see({}, 20_000)).toMatchObject({ do: 'fail', outcome: 'unknown' });
    const shared = new Prompt().entered();
    expect(shared.see({ box: 'do it', personAt: 10_600 }, 3100).do).toBe('wait');
    expect(shared.see({}, 20_000)).toMatchObject({ do: 'fail', outcome: 'unknown' });
  });

  it('never presses Enter where a question came up under it', () => {
    const prompt = new Prompt();
    expect(prompt.see({}).do).toBe('type');
    expect(prompt.see({ box: 'do it', state: 'blocked' }, 500)).toMatchObject({ do: 'fail', outcome: 'unknown' });
  });

  it('never presses Enter for a text that does not show', () => {
    const prompt = new Prompt();
    expect(prompt.see({}).do).toBe('type');
    expect(prompt.see({ box: '' }, 5000).do).toBe('wait');
    expect(prompt.see({ box: '' }, 20_000)).toMatchObject({ do: 'fail', outcome: 'unknown' });
  });

  it('gives up as unknown where nothing is seen of what Enter did', () => {
    const prompt = new Prompt().entered();
    expect(prompt.see({ box: '' }, 30_000).do).toBe('wait');
    expect(prompt.see({ box: '' }, 40_000)).toMatchObject({ do: 'fail', outcome: 'unknown' });
  });

  it('takes a turn that was over before anybody looked for submitted', () => {
    expect(new Prompt().entered().see({ box: '', leftReadyAt: 10_550 }, 100).do).toBe('submitted');
  });

  it('does not take an earlier turn for its own', () => {
    expect(new Prompt().entered().see({ box: '', leftReadyAt: 9000 }, 100).do).toBe('wait');
  });

  it('knows by the new line that a shell took the command', () => {
    const prompt = new Prompt('true', shell);
    expect(prompt.see({}).do).toBe('type');
    expect(prompt.see({ outputAt: 10_010 }, 20).do).toBe('wait');
    expect(prompt.see({}, 200).do).toBe('enter');
    expect(prompt.see({ newLine: true }, 20).do).toBe('submitted');
    expect(prompt.see({}, 500).do).toBe('finish');
  });

  it('takes a command of the program itself for done when the box is empty', () => {
    const prompt = new Prompt('/status');
    prompt.see({});
    prompt.see({ box: '/status' }, 10);
    expect(prompt.see({}, 500).do).toBe('enter');
    expect(prompt.see({ box: '' }, 100).do).toBe('wait');
    expect(prompt.see({}, 3100).do).toBe('submitted');
  });

  it('types to a program of which nothing is known once it is quiet, and calls the outcome unknown', () => {
    const prompt = new Prompt('do it', generic);
    expect(prompt.see({ state: 'unknown', outputAt: 9000 }).do).toBe('wait');
    expect(prompt.see({}, 1500).do).toBe('type');
    expect(prompt.see({}, 3000).do).toBe('enter');
    expect(prompt.see({}, 30_000)).toMatchObject({ do: 'fail', outcome: 'unknown' });
  });

  it('waits for pasting to be switched on before it types several lines', () => {
    const prompt = new Prompt('one\ntwo');
    expect(prompt.see({ pastes: false }).do).toBe('wait');
    expect(prompt.see({ pastes: true }, 100).do).toBe('type');
  });

  it('is untyped where the session ends first, and over in doubt where it ends after Enter', () => {
    expect(new Prompt().see({ live: false })).toMatchObject({ do: 'fail', outcome: 'failed' });
    expect(new Prompt().entered().see({ live: false }, 10)).toMatchObject({ do: 'fail', outcome: 'unknown' });
  });
});
