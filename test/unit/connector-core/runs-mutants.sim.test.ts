import { describe, expect, test } from 'vitest';
import { bundleSim, type Mutation, runNights } from '../../sim/bundle.ts';
import type { SimReport } from '../../sim-runs/main.ts';
import { mutants } from '../../sim-runs/mutants.ts';
import { fullTier, inTier } from '../../support/tier.ts';

/** Runs in which a defect has to show. */
const runs = 1_000;
const limitMs = 240_000;
/** The short tier looks at a sample. */
const sample = inTier(2, mutants.length);
const chosen = process.env['NIIA_SIM_MUTANT'];

const wanted =
  chosen === undefined
    ? mutants.filter(({ late }) => fullTier || !late).slice(0, sample)
    : mutants.filter(({ name }) => name.includes(chosen));

describe('the simulation notices a run that', () => {
  test.each(wanted.map((mutation, i): [string, Mutation, number] => [mutation.name, mutation, i]))(
    '%s',
    { timeout: 2 * limitMs },
    async (name, mutation, i) => {
      const program = await bundleSim(`runs-mutant-${i}`, mutation, 'test/sim-runs/main.ts');
      const report = await runNights<SimReport>(program, { first: 1, last: runs, step: 1, limitMs });
      const found = 'crashed' in report ? report.crashed : report.failed;
      if (chosen !== undefined) console.log(name, found);
      expect(found, `nothing was wrong in ${runs} runs`).toBeDefined();
    },
  );
});
