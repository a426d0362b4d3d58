import { expect, test } from 'vitest';
import { Programs } from '../../../daemon/connector/programs.ts';

function asking(answer: (machine: string, programs: string[]) => string[]) {
  const asked: string[] = [];
  const clock = { now: 0 };
  let answered = 0;
  const programs = new Programs(
    async (machine, wanted) => {
      asked.push(`${machine}: ${wanted.join(' ')}`);
      return answer(machine, wanted);
    },
    () => answered++,
    () => clock.now,
  );
  return { programs, asked, clock, answered: () => answered };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a machine is asked once for a set of programs, and again when the answer is old', async () => {
  const { programs, asked, clock, answered } = asking((_, wanted) => wanted.filter((name) => name === 'codex'));
  expect(programs.lacks('a', ['git', 'codex'])).toBeUndefined();
  expect(programs.lacks('a', ['codex', 'git'])).toBeUndefined();
  await settled();
  expect(programs.lacks('a', ['git', 'codex'])).toEqual(['codex']);
  // Another set of programs does not put the first out of mind.
  programs.lacks('a', ['git']);
  await settled();
  expect(programs.lacks('a', ['git'])).toEqual([]);
  expect(programs.lacks('a', ['git', 'codex'])).toEqual(['codex']);
  expect([asked, answered()]).toEqual([['a: codex git', 'a: git'], 2]);
  clock.now = 70_000;
  expect(programs.lacks('a', ['git', 'codex'])).toEqual(['codex']);
  await settled();
  expect(asked).toHaveLength(3);
});

test('a machine that does not answer is left alone for a while, and wakes nobody', async () => {
  const { programs, asked, clock, answered } = asking(() => {
    throw new Error('denied');
  });
  for (let i = 0; i < 5; i++) {
    expect(programs.lacks('a', ['git'])).toBeUndefined();
    await settled();
  }
  expect([asked.length, answered()]).toEqual([1, 0]);
  clock.now = 11_000;
  programs.lacks('a', ['git']);
  expect(asked).toHaveLength(2);
});
