import { describe, expect, test } from 'vitest';
import { bundleSim, type Mutation, runNights } from '../../sim/bundle.ts';
import { mutants } from '../../sim/mutants.ts';

/** Nights in which a defect has to show. */
const nights = 1_000;
const limitMs = 120_000;
const full = Boolean(process.env['NIIA_TEST_FULL']);
const chosen = process.env['NIIA_SIM_MUTANT'];

const wanted = mutants.filter(({ name, late }) => (chosen === undefined ? full || !late : name.includes(chosen)));

/** Two run at a time: each takes a core. */
const slots: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
function inTurn<T>(i: number, run: () => Promise<T>): Promise<T> {
  const result = (slots[i % slots.length] ?? Promise.resolve()).then(run);
  slots[i % slots.length] = result.catch(() => undefined);
  return result;
}

describe.concurrent('the simulation notices a link that', () => {
  test.each(wanted.map((mutation, i): [string, Mutation, number] => [mutation.name, mutation, i]))(
    '%s',
    { timeout: 10 * limitMs },
    async (name, mutation, i) => {
      const report = await inTurn(i, async () =>
        runNights(await bundleSim(`mutant-${i}`, mutation), { first: 1, last: nights, step: 1, limitMs }),
      );
      const found = 'crashed' in report ? report.crashed : report.failed;
      if (chosen !== undefined) console.log(name, found);
      expect(found, `nothing was wrong in ${nights} nights`).toBeDefined();
    },
  );
});
