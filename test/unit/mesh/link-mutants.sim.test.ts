import { describe, expect, test } from 'vitest';
import { bundleSim, type Mutation, runNights } from '../../sim/bundle.ts';
import { mutants } from '../../sim/mutants.ts';

/** Nights in which a defect has to show. */
const nights = 1_000;
const limitMs = 120_000;
const chosen = process.env['NIIA_SIM_MUTANT'];

/** A sample of those that show early: each takes a build and its nights. The long tier has all. */
const sample = mutants.filter(({ late }) => !late).filter((_, at) => at % 5 === 0);
const wanted = chosen === undefined ? sample : mutants.filter(({ name }) => name.includes(chosen));
const others = chosen === undefined ? mutants.filter((one) => !sample.includes(one)) : [];

/** Two run at a time: each takes a core. */
const slots: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
function inTurn<T>(i: number, run: () => Promise<T>): Promise<T> {
  const result = (slots[i % slots.length] ?? Promise.resolve()).then(run);
  slots[i % slots.length] = result.catch(() => undefined);
  return result;
}

describe.concurrent('the simulation notices a link that', () => {
  const timeout = 10 * limitMs;
  const notices = async (mutation: Mutation): Promise<void> => {
    const at = mutants.indexOf(mutation);
    const report = await inTurn(at, async () =>
      runNights(await bundleSim(`mutant-${at}`, mutation), { first: 1, last: nights, step: 1, limitMs }),
    );
    const found = 'crashed' in report ? report.crashed : report.failed;
    if (chosen !== undefined) console.log(mutation.name, found);
    expect(found, `nothing was wrong in ${nights} nights`).toBeDefined();
  };
  test.each(wanted)('$name', { timeout }, notices);
  test.each(others)('$name', { timeout, tags: 'full' }, notices);
});
