import { resolve } from 'node:path';
import { NiiaError } from '../../../shared/errors.ts';
import { installationToStart } from '../../process/installation.ts';
import type { Run } from '../context.ts';
import type { Specs } from '../specs/all.ts';

export const bundle: Run<Specs['bundle']> = async ({ options }, { home, out }) => {
  const { makeBundle } = await import('../../lifecycle/make-bundle.ts');
  const { anyTarget, isTarget, ownTarget } = await import('../../lifecycle/target.ts');
  const { bundleEnding } = await import('../../lifecycle/manifest.ts');
  const target = options.target ?? ownTarget();
  if (target !== anyTarget && !isTarget(target)) {
    throw new NiiaError(
      'usage',
      `--target: "${target}" is none`,
      'As in linux-x64-glibc, linux-arm64-musl, darwin-arm64, any',
    );
  }
  const installation = installationToStart(home, 'user');
  const file = resolve(options.out ?? `niia-${installation.version}-${target}${bundleEnding}`);
  const { path, hash, size, manifest } = await makeBundle(installation, target, file);
  const { version, build } = manifest;
  await out.result({ path, hash, size, version, build, target }, () => `${path}\n`);
};

export const supervise: Run<Specs['upgrade-supervisor']> = async (_, { home }) => {
  const { runSupervisor } = await import('../../lifecycle/supervisor.ts');
  await runSupervisor(home);
};
