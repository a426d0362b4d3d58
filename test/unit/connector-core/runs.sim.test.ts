import { expect, test } from 'vitest';
import { bundleSim, runNights } from '../../sim/bundle.ts';
import type { SimReport } from '../../sim-runs/main.ts';
import { type Counts, counted, World } from '../../sim-runs/world.ts';
import { inTier } from '../../support/tier.ts';

/** How many runs. */
const count = Number(process.env['NIIA_SIM_SEEDS'] ?? inTier(1_000, 10_000));
/** One run alone, with its trace. */
const single = process.env['NIIA_SIM_SEED'];
const workers = 2;
const limitMs = 60_000 + count * 200;

if (single === undefined) {
  test(`${count} simulated runs on bad machines commit each worker's work once, and end`, {
    timeout: 2 * limitMs,
  }, async () => {
    const program = await bundleSim('runs', undefined, 'test/sim-runs/main.ts');
    const reports = await Promise.all(
      Array.from({ length: workers }, (_, i) =>
        runNights<SimReport>(program, { first: i + 1, last: count, step: workers, limitMs }),
      ),
    );
    const counts = Object.fromEntries(counted.map((name) => [name, 0])) as Counts;
    for (const report of reports) {
      const seed = 'failed' in report ? report.failed?.seed : undefined;
      const command = 'npx vitest run --config test/vitest.config.ts --project unit runs.sim';
      expect(report, `replay it with: NIIA_SIM_SEED=${seed} ${command}`).toEqual({
        nights: expect.any(Number),
        counts: expect.any(Object),
      });
      if ('counts' in report) for (const name of counted) counts[name] += report.counts[name];
    }
    expect(counts.runs).toBe(count);
    // All of it happens, so that what is asserted is not empty.
    for (const name of counted) expect(counts[name], `${name}: ${JSON.stringify(counts)}`).toBeGreaterThan(0);
  });
} else {
  test(`the simulated run ${single}`, { timeout: 60_000 }, async () => {
    const world = await World.run(Number(single));
    console.log([...world.trace, JSON.stringify(world.counts)].join('\n'));
    expect(world.problems).toEqual([]);
  });
}
