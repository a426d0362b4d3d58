import { runHeadless } from '../../../daemon/headless/main.ts';
import { Home } from '../../../daemon/home/home.ts';

// The headless server alone, as its hidden command runs it: entry.js HOME GENERATION MACHINE [LEAVE_AFTER_MS].
const [home = '', generation = '', machine = '', leaveAfterMs] = process.argv.slice(2);
await runHeadless({
  home: new Home(home),
  generation,
  machine,
  ...(leaveAfterMs === undefined ? {} : { leaveAfterMs: Number(leaveAfterMs) }),
});
