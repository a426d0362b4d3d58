import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { removeStranded } from '../../../daemon/home/stranded.ts';

test('what a killed process left of its writes goes, and nothing else does', () => {
  const folder = mkdtempSync(join(tmpdir(), 'niia-stranded-'));
  try {
    const gone = spawnSync('true').pid;
    const [left, written] = [`machines.json.${gone}.0f37ee70`, `machines.json.${process.pid}.0f37ee70`];
    mkdirSync(join(folder, 'team', 'deep', 'deeper'), { recursive: true });
    for (const name of [left, written, 'machines.json', 'a.1.2.3', `team/${left}`, `team/deep/deeper/${left}`]) {
      writeFileSync(join(folder, name), '');
    }
    mkdirSync(join(folder, `a.${gone}.0f37ee71`));
    removeStranded(folder, 2);
    removeStranded(join(folder, 'nowhere'), 2);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
    expect(files).toEqual(
      [
        ...['a.1.2.3', `a.${gone}.0f37ee71`, 'machines.json', written],
        ...['team', 'team/deep', 'team/deep/deeper', `team/deep/deeper/${left}`],
      ].sort(),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
