import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SessionState } from '../../../../shared/protocol/shapes.ts';
import { Replay, recording, withoutStatus, withoutTitle } from './replay.ts';

/** A recording, and what the session is known to do at its end: [state, rule] with all sources, without OSC 7501, and from the screen alone. */
interface Step {
  name: string;
  whole: readonly [SessionState, string?];
  titled: readonly [SessionState, string?];
  drawn: readonly [SessionState, string?];
}

const status = 'osc7501';
const unknown = ['unknown'] as const;

const codex: Step[] = [
  step('codex-1-ready', ['starting', 'codex.screen-starting'], ['starting', 'codex.screen-starting']),
  step('codex-2-after-turn', ['idle', status], ['idle', 'codex.screen-idle']),
  step('codex-2b-multiline', ['idle', status], ['idle', 'codex.screen-idle']),
  step('codex-3-busy', ['busy', status], ['busy', 'codex.title-busy'], ['busy', 'codex.screen-busy']),
  step('codex-4-after-slow', ['idle', status], ['idle', 'codex.screen-idle']),
  step(
    'codex-5-approval',
    ['blocked', status],
    ['blocked', 'codex.title-blocked'],
    ['blocked', 'codex.screen-approval'],
  ),
  step('codex-6-after-approval', ['idle', status], ['idle', 'codex.screen-idle']),
  step('codex-8-interrupted', ['idle', status], ['idle', 'codex.screen-idle']),
  step('codex-9-exit', unknown, unknown),
];

const gemini: Step[] = [
  step('gemini-1-ready', ['idle', 'gemini.title-idle'], ['idle', 'gemini.title-idle'], ['idle', 'gemini.screen-idle']),
  // A draft that was pasted and not submitted stands in the box.
  step(
    'gemini-1b-paste-enter-nosubmit',
    ['idle', 'gemini.title-idle-lines'],
    ['idle', 'gemini.title-idle-lines'],
    unknown,
  ),
  step(
    'gemini-2-after-turn',
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.screen-idle'],
  ),
  step(
    'gemini-2b-multiline',
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.screen-idle'],
  ),
  step('gemini-3-busy', ['busy', 'gemini.title-busy'], ['busy', 'gemini.title-busy'], ['busy', 'gemini.screen-busy']),
  step(
    'gemini-4-after-slow',
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.screen-idle'],
  ),
  step(
    'gemini-5-approval',
    ['blocked', 'gemini.title-blocked'],
    ['blocked', 'gemini.title-blocked'],
    ['blocked', 'gemini.screen-choice'],
  ),
  step(
    'gemini-6-after-approval',
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.screen-idle'],
  ),
  step(
    'gemini-6b-denied',
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.title-idle'],
    ['idle', 'gemini.screen-idle'],
  ),
  step('gemini-8b-bigpaste', ['idle', 'gemini.title-idle'], ['idle', 'gemini.title-idle'], unknown),
  // Its title says Ready, and a dialog waits.
  step('gemini-8c-bigpaste-after', ['blocked', 'gemini.screen-choice'], ['blocked', 'gemini.screen-choice']),
];

const claude: Step[] = [
  step('claude-1-ready', ['idle', 'claude.title-idle'], ['idle', 'claude.title-idle'], ['idle', 'claude.screen-idle']),
  step(
    'claude-2-after-turn',
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.screen-idle'],
  ),
  step(
    'claude-2b-multiline',
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.screen-idle'],
  ),
  step('claude-3-busy', ['busy', 'claude.title-busy'], ['busy', 'claude.title-busy'], ['busy', 'claude.screen-busy']),
  step(
    'claude-4-after-slow',
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.screen-idle'],
  ),
  // Its title is that of rest.
  step('claude-5-approval', ['blocked', 'claude.screen-choice'], ['blocked', 'claude.screen-choice']),
  step(
    'claude-6-after-approval',
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.screen-idle'],
  ),
  step(
    'claude-6b-denied',
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.title-idle'],
    ['idle', 'claude.screen-idle'],
  ),
  // An interrupted prompt is back in its box.
  step('claude-8-interrupted', ['idle', 'claude.title-idle'], ['idle', 'claude.title-idle'], unknown),
  step('claude-8b-bigpaste', ['idle', 'claude.title-idle'], ['idle', 'claude.title-idle'], unknown),
  step('claude-9-exit', unknown, unknown),
];

/** The same program where a terminal answered its question about OSC 7501: its title stands still. */
const claudeWithStatus: Step[] = [
  step('claude-7501m-1-ready', ['idle', status], ['idle', 'claude.screen-idle']),
  step('claude-7501m-3-busy', ['busy', status], ['busy', 'claude.screen-busy']),
  step('claude-7501m-4-after-slow', ['idle', status], ['idle', 'claude.screen-idle']),
  step('claude-7501m-5-approval', ['blocked', status], ['blocked', 'claude.screen-choice']),
  step('claude-7501m-6-after-approval', ['idle', status], ['idle', 'claude.screen-idle']),
  step('claude-7501m-6b-denied', ['idle', status], ['idle', 'claude.screen-idle']),
  step('claude-7501m-9-exit', unknown, unknown),
];

const claudeDialogs: Step[] = [
  step('claude-dialogs-1', ['blocked', 'claude.screen-choice'], ['blocked', 'claude.screen-choice']),
  step('claude-dialogs-2', ['blocked', 'claude.screen-choice'], ['blocked', 'claude.screen-choice']),
  step('claude-dialogs-3', ['idle', 'claude.title-idle'], ['idle', 'claude.title-idle'], unknown),
];

function step(name: string, whole: Step['whole'], titled: Step['titled'], drawn = titled): Step {
  return { name, whole, titled, drawn };
}

const runs: Array<[string, Step[]]> = [
  ['codex', codex],
  ['gemini', gemini],
  ['claude', claude],
  ['claude', claudeWithStatus],
  ['claude', claudeDialogs],
];

/** What a failing test shows: what it was taken for, and which rule broke. */
async function check(
  [command, steps]: [string, Step[]],
  which: 'whole' | 'titled' | 'drawn',
  { lengths = [], lookAlways = false }: { lengths?: number[]; lookAlways?: boolean } = {},
): Promise<void> {
  const replay = new Replay([command]);
  const remove = {
    whole: same,
    titled: withoutStatus,
    drawn: (bytes: Uint8Array) => withoutTitle(withoutStatus(bytes)),
  };
  for (const { name, ...expected } of steps) {
    await replay.hear(remove[which](recording(name)), lengths, lookAlways);
    const { state, evidence, why } = replay.after(1000);
    const [wanted, rule] = expected[which];
    const broken = `${name} (${which}): the rule ${rule ?? 'none'} should say ${wanted}; instead: ${state}, ${why}`;
    expect({ state, rule: evidence?.rule }, broken).toEqual({ state: wanted, rule });
  }
}

function same(bytes: Uint8Array): Uint8Array {
  return bytes;
}

describe.each(runs)('what %s does is known', (...run) => {
  test('from all that it says', () => check(run, 'whole'));
  test('without OSC 7501, from title and screen', () => check(run, 'titled'));
  test('from its screen alone', () => check(run, 'drawn'));
});

test.each(runs)('however the output of %s is cut, the state is the same', async (...run) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }),
      fc.constantFrom('whole' as const, 'titled' as const),
      async (lengths, which) => check(run, which, { lengths }),
    ),
    { numRuns: 2, examples: [[[1], 'whole']] },
  );
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
const sequences = /(\x1b\[[\x20-\x3f]*[\x40-\x7e]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.)/;

/** Text as another version might have it: the same shapes, other words and signs. */
function reworded(bytes: Uint8Array): Buffer {
  const parts = Buffer.from(bytes).toString('utf8').split(sequences);
  const turn = (text: string) =>
    text
      .replace(/[a-z]/gi, (letter) => {
        const base = letter < 'a' ? 65 : 97;
        return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base);
      })
      .replace(/[›❯>●✦•]/g, '»');
  return Buffer.from(parts.map((part, index) => (index % 2 === 0 ? turn(part) : part)).join(''));
}

describe.each(runs)('a version of %s with another screen', (...[command, steps]) => {
  test('is unknown, or what its status and title still say, and never wrongly idle', async () => {
    for (const remove of [same, withoutStatus, (bytes: Uint8Array) => withoutTitle(withoutStatus(bytes))]) {
      const replay = new Replay([command]);
      for (const { name, whole } of steps) {
        await replay.hear(reworded(remove(recording(name))));
        const { state, why, evidence } = replay.after(2000);
        const told = `${name}: taken for ${state} (${why}), and it is ${whole[0]}`;
        if (state !== 'unknown') expect(state, told).toBe(whole[0]);
        // What is left of it says nothing of the screen.
        expect(evidence?.source === 'screen' ? evidence.rule : undefined, told).toBeUndefined();
      }
    }
  });

  test('never makes a title alone idle', async () => {
    const replay = new Replay([command]);
    for (const { name } of steps) {
      await replay.hear(reworded(withoutStatus(recording(name))));
      const { state, why } = replay.after(2000);
      expect(state, `${name}: ${why}`).not.toBe('idle');
    }
  });
});
