import { test } from 'vitest';
import { numbered, start, tailed } from './support.ts';
import { readdirSync, statSync } from 'node:fs';
test('x', async () => {
    const { ask, run, peer, home } = await start();
    const whole = numbered(20_000);
    for (let round = 0; round < 8; round++) {
      const { session } = await run('seq 1 20000');
      await ask('session.wait', { session, until: { type: 'exit' } });
      const t = await tailed(peer, { session });
      const got = t.bytes.toString();
      let i = 0; while (i < got.length && got[i] === whole[i]) i++;
      const info = (await ask('session.list', {})).sessions.at(-1)!;
      console.log(round, got.length, whole.length, i, JSON.stringify(t.events), JSON.stringify(t.result), info.outputBytes, info.firstOffset, readdirSync(home.path('sessions', session)).map(f=>f+':'+statSync(home.path('sessions', session,f)).size).join(' '));
    }
});
