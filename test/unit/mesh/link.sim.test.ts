import { expect, test } from 'vitest';
import type { Identity } from '../../../daemon/team/identity.ts';
import { bundleSim, runNights } from '../../sim/bundle.ts';
import { identities, teamOf } from '../../sim/team.ts';
import { World } from '../../sim/world.ts';
import { inTier } from '../../support/tier.ts';

/** How many nights. */
const count = Number(process.env['NIIA_SIM_SEEDS'] ?? inTier(250, 10_000));
/** One night alone, with its trace. */
const single = process.env['NIIA_SIM_SEED'];
const workers = 2;
const limitMs = 30_000 + count * 100;

if (single === undefined) {
  test(`two machines on a bad network get every message once and in order, in ${count} simulated nights`, {
    timeout: 2 * limitMs,
  }, async () => {
    const program = await bundleSim('nights');
    const reports = await Promise.all(
      Array.from({ length: workers }, (_, i) =>
        runNights(program, { first: i + 1, last: count, step: workers, limitMs }),
      ),
    );
    for (const report of reports) {
      const seed = 'failed' in report ? report.failed?.seed : undefined;
      const command = 'npx vitest run --config test/vitest.config.ts --project unit link.sim';
      expect(report, `replay it with: NIIA_SIM_SEED=${seed} ${command}`).toEqual({ nights: expect.any(Number) });
    }
    expect(reports.reduce((sum, report) => sum + ('nights' in report ? report.nights : 0), 0)).toBe(count);
  });
} else {
  test(`the simulated night ${single}`, { timeout: 60_000 }, async () => {
    const [a, b] = identities(2) as [Identity, Identity];
    const world = await World.night(Number(single), [a, b], teamOf(a, b));
    console.log([...world.trace, world.summary].join('\n'));
    expect(world.problems).toEqual([]);
  });
}
