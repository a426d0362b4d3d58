import compare from 'semver/functions/compare.js';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { InstallationInfo, Offer } from '../../shared/protocol/upgrade-methods.ts';
import { badBundle, buildSchema, bundleLimits, type Manifest, versionSchema } from './manifest.ts';
import { anyTarget } from './target.ts';

export type Here = Pick<InstallationInfo, 'machine' | 'version' | 'target' | 'natives'>;

/** Whether this machine takes what is offered. Throws `bad_bundle`, or `denied` where it is older than what runs. */
export function mayInstall(offer: Offer, here: Here, allowDowngrade: boolean): void {
  if (!v.is(versionSchema, offer.version)) throw badBundle(`"${offer.version}" is no version`);
  if (!v.is(buildSchema, offer.build)) throw badBundle('its build id is none');
  if (offer.size > bundleLimits.bytes) throw badBundle(`it has ${offer.size} bytes`);
  fitsMachine(offer, here);
  if (allowDowngrade || compare(offer.version, here.version) >= 0) return;
  throw new NiiaError(
    'denied',
    `${here.machine} runs niia ${here.version}, and ${offer.version} is older`,
    'To go back to an older version on purpose: --allow-downgrade',
  );
}

/** Throws `bad_bundle` where its native parts, or those that it counts on, would not run here. */
export function fitsMachine(offer: Pick<Offer, 'target' | 'natives'>, { machine, target, natives }: Here): void {
  if (offer.target === target) return;
  if (offer.target !== anyTarget) {
    throw new NiiaError(
      'bad_bundle',
      `the bundle is for ${offer.target}, and ${machine} is ${target}`,
      bundleHint(target),
    );
  }
  const other = Object.keys(offer.natives).find((name) => natives[name] !== offer.natives[name]);
  if (other === undefined) return;
  throw new NiiaError(
    'bad_bundle',
    `the bundle brings no native parts and needs ${other} ${offer.natives[other]}; ${machine} has ${natives[other] ?? 'none'}`,
    bundleHint(target),
  );
}

function bundleHint(target: string): string {
  return `Make one on a machine of that kind with: niia bundle --target ${target}`;
}

/** Throws `bad_bundle` where the bundle that came is not the one that was offered. */
export function isWhatWasOffered(manifest: Manifest, offer: Offer): void {
  for (const key of ['version', 'build', 'target'] as const) {
    if (manifest[key] === offer[key]) continue;
    throw badBundle(`it says ${key} ${manifest[key]}, and ${offer[key]} was offered`);
  }
  const sameNatives = Object.entries(manifest.natives).every(([name, version]) => offer.natives[name] === version);
  if (!sameNatives) throw badBundle('it needs other native parts than was offered');
}
