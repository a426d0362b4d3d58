import { spawnSync } from 'node:child_process';

/** Builds dist/ once per run: the system tests run what users run. */
export default function build(): void {
  const { status } = spawnSync(process.execPath, ['esbuild.mjs'], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the build failed');
}
