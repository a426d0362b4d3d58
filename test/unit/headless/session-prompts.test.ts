import { describe, expect, test } from 'vitest';
import { SessionPrompts } from '../../../daemon/headless/prompting/session-prompts.ts';
import type { TurnEnd } from '../../../daemon/headless/prompting/terminal-turn.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { temporaryFolder } from './support.ts';

/** The prompts of a session of which each turn begins, and goes on only when the test says so. */
async function stage() {
  const session = {
    ...{ id: 'local-1', live: true, folder: { path: temporaryFolder() }, log: { end: 0 } },
    endedError: () => new NiiaError('session_ended', 'it has ended'),
  };
  const begun: string[] = [];
  const typed: string[] = [];
  let goOn: () => void = () => undefined;
  const prompts = await SessionPrompts.load(session, 'BOX', async (record, events): Promise<TurnEnd> => {
    begun.push(record.id);
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await events.typing();
    typed.push(record.text);
    return { is: 'finished' };
  });
  const accept = (id: string) => prompts.accept(id, { text: `text of ${id}`, removed: 0 }, 'me');
  const finished = (id: string) =>
    new Promise<void>((resolve) => {
      prompts.watch(id, { told: ({ state }) => state === 'finished' && resolve() });
    });
  return { prompts, begun, typed, accept, finished, goOn: () => goOn() };
}

describe('a prompt that is taken back', () => {
  test('is accepted anew for whoever asks for it meanwhile, and typed once [WORK-3]', async () => {
    const { prompts, begun, typed, accept, finished, goOn } = await stage();
    await accept('a');
    prompts.withdraw('a');
    const again = accept('a');
    const asked = prompts.find('a');
    goOn();
    expect((await again).state).toBe('accepted');
    expect(await asked).toBe(await again);
    const over = finished('a');
    expect(begun).toEqual(['a', 'a']);
    goOn();
    await over;
    expect(typed).toEqual(['text of a']);
  });

  test('stays where somebody has claimed it, or where it may have been typed [WORK-3]', async () => {
    const { prompts, typed, accept, finished, goOn } = await stage();
    const [first, second] = [prompts.claim('a'), prompts.claim('a')];
    await accept('a');
    first();
    first();
    prompts.withdraw('a');
    const over = finished('a');
    goOn();
    second();
    prompts.withdraw('a');
    await over;
    expect(typed).toEqual(['text of a']);
  });
});
