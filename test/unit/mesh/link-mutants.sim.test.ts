import { describe, expect, test } from 'vitest';
import { bundleSim, type Mutation, runNights } from '../../sim/bundle.ts';
import { mutants } from '../../sim/mutants.ts';

/** Nights in which a defect has to show. */
const nights = 400;
const limitMs = 40_000;
const full = Boolean(process.env['NIIA_TEST_FULL']);
const chosen = process.env['NIIA_SIM_MUTANT'];

const wanted = mutants.filter(({ name }, i) => (chosen === undefined ? full || i % 2 === 0 : name.includes(chosen)));

describe.concurrent('the simulation notices a link that', () => {
  test.each(wanted.map((mutation, i): [string, Mutation, number] => [mutation.name, mutation, i]))(
    '%s',
    { timeout: 4 * limitMs },
    async (name, mutation, i) => {
      const program = await bundleSim(`mutant-${i}`, mutation);
      const report = await runNights(program, { first: 1, last: nights, step: 1, limitMs });
      const found = 'crashed' in report ? report.crashed : report.failed;
      if (chosen !== undefined) console.log(name, found);
      expect(found, `nothing was wrong in ${nights} nights`).toBeDefined();
    },
  );
});
