import { spawn } from 'node-pty';
import { describe, expect, it } from 'vitest';
import { entry, node, withTeam } from '../support/machine.ts';

describe('a terminal on another machine', () => {
  it('says when that machine is away, keeps what is typed meanwhile, and goes on when it is back', async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      await a.ok('new', '--name', 'main', '--', 'cat');
      const viewer = spawn(node, [entry, 'attach', 'A/main'], { cols: 80, rows: 24, env: b.env });
      let shown = '';
      viewer.onData((text) => {
        shown += text;
      });
      const left = new Promise<number>((resolve) => viewer.onExit(({ exitCode }) => resolve(exitCode)));
      try {
        const viewers = async () =>
          (await a.json<{ sessions: Array<{ viewers: number }> }>('list')).sessions[0]?.viewers;
        await expect.poll(viewers, { timeout: 15_000 }).toBe(1);
        viewer.write('before\r');
        await expect.poll(() => shown.match(/before/g)?.length, { timeout: 15_000 }).toBe(2);
        await a.killDaemon();
        await expect.poll(() => shown, { timeout: 15_000 }).toContain('taking it up again');
        viewer.write('meanwhile\r');
        await a.ok('up');
        await expect
          .poll(async () => (await a.ok('read', '--session', 'main')).split('\n'), { timeout: 20_000 })
          .toEqual(['before', 'before', 'meanwhile', 'meanwhile']);
        await expect.poll(() => shown.slice(shown.indexOf('taking it up')), { timeout: 15_000 }).toContain('meanwhile');
        viewer.write('\x1cd');
        expect(await left).toBe(0);
      } finally {
        viewer.kill('SIGKILL');
      }
    });
  });
});
