import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SessionPrompts } from '../../../daemon/headless/prompting/session-prompts.ts';
import type { TurnEnd, TurnEvents } from '../../../daemon/headless/prompting/terminal-turn.ts';
import type { PromptRecord } from '../../../daemon/workers/prompt/prompt-record.ts';
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
  const run = async (record: PromptRecord, events: TurnEvents): Promise<TurnEnd> => {
    begun.push(record.id);
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await events.typing();
    typed.push(record.text ?? '');
    return { is: 'finished' };
  };
  const prompts = await SessionPrompts.load(session, 'BOX', { run, forget: () => undefined });
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

test('what is kept of prompts that are over is bounded, and a repeat still types nothing [WORK-2]', async () => {
  const folder = temporaryFolder();
  const session = {
    ...{ id: 'local-1', live: true, folder: { path: folder }, log: { end: 0 } },
    endedError: () => new NiiaError('session_ended', 'it has ended'),
  };
  const forgotten: string[] = [];
  const turns = {
    run: async (_: PromptRecord, events: TurnEvents): Promise<TurnEnd> => {
      await events.typing();
      return { is: 'finished', answerBytes: 1 << 20 };
    },
    forget: (id: string) => forgotten.push(id),
  };
  const prompts = await SessionPrompts.load(session, 'BOX', turns);
  const text = 'x'.repeat(256 << 10);
  for (let n = 1; n <= 80; n++) {
    await prompts.accept(`p${n}`, { text: `${n} ${text}`, removed: 0 }, 'me');
    await prompts.settled();
  }
  const kept = (from: SessionPrompts) => [1, 64, 66, 80].map((n) => from.get(`p${n}`)?.text !== undefined);
  expect(kept(prompts)).toEqual([false, false, true, true]);
  expect([forgotten.length, forgotten[0]]).toEqual([65, 'p1']);
  expect(await prompts.accept('p1', { text: `1 ${text}`, removed: 0 }, 'me')).toMatchObject({ state: 'finished' });
  await expect(prompts.accept('p1', { text: 'another', removed: 0 }, 'me')).rejects.toMatchObject({ code: 'usage' });
  // It was written anew when it had grown to 16 MiB.
  expect(statSync(join(folder, 'prompts.ndjson')).size).toBeLessThan(12 << 20);
  const again = await SessionPrompts.load(session, 'BOX', turns);
  expect([again.get('p1'), again.get('p80')]).toMatchObject([{ state: 'finished' }, { state: 'finished' }]);
  await expect(again.accept('p1', { text: 'another', removed: 0 }, 'me')).rejects.toMatchObject({ code: 'usage' });
});
