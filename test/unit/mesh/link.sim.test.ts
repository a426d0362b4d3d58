import { expect, test } from 'vitest';
import type { Identity } from '../../../daemon/team/identity.ts';
import { identities } from '../../sim/team.ts';
import { World } from '../../sim/world.ts';

/** How many nights; NIIA_SIM_SEED replays one, with its trace. */
const count = Number(process.env['NIIA_SIM_SEEDS'] ?? 200);
const single = process.env['NIIA_SIM_SEED'];
const seeds = single === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(single)];

test(`two machines on a bad network get every message once and in order, in ${seeds.length} simulated nights`, {
  timeout: 10_000 + seeds.length * 3_000,
}, async () => {
  const [a, b] = identities(2) as [Identity, Identity];
  for (const seed of seeds) {
    const world = new World(seed, [a, b]);
    // Every second night nobody crashes, and then no link may ever be lost.
    await world.run(30_000, seed % 2 === 0);
    if (single !== undefined) console.log([...world.trace, world.summary].join('\n'));
    expect(world.problems, `seed ${seed} (${world.summary}); replay it with NIIA_SIM_SEED=${seed}`).toEqual([]);
  }
});
