// Which files of the packages with native parts go along with the product: into a bundle, and into the extension.

import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Packages with native parts: they stay outside the bundled JavaScript and are resolved from node_modules at run time. */
export const nativePackages = ['node-pty', 'sodium-native', 'wrtc'];

/** Without these a machine cannot serve; without WebRTC (which not every platform has) it merely has fewer paths. */
const required = ['node-pty', 'sodium-native'];

/** What only a compiler, a debugger or a reader wants. */
const dropped = /[.](map|md|markdown|d[.][cm]?ts|ts|c|cc|h|gyp|bare)$|(^|\/)(CMakeLists[.]txt|[.][^/]*)$/;

/** The end of the name of a package that is for one platform only. */
const platformSuffix =
  /-(?:android|darwin|freebsd|linux|win32|openharmony)-(?:arm|arm64|ia32|x64|ppc64|s390x|riscv64)$/;

/**
 * @typedef {object} Natives
 * @property {Record<string, string>} versions Versions of the packages with native parts that were found.
 * @property {Array<{ path: string, source: string }>} files Where each file goes, from `node_modules/` on, and where it is.
 * @property {string[]} missing What is not on this disk and would be needed.
 */

/**
 * The packages with native parts, and all that they need, as the code in folder `from` finds them, for `platform`
 * (`linux-x64`). Their folders are searched as Node does: the product may stand alone, or among other packages.
 * @param {string} from
 * @param {string} platform
 * @returns {Natives}
 */
export function findNatives(from, platform) {
  /** @type {Record<string, string>} */
  const versions = {};
  /** @type {Natives['files']} */
  const files = [];
  /** @type {string[]} */
  const missing = [];
  /** @type {Map<string, string>} */
  const found = new Map();
  const waiting = nativePackages.map((name) => ({ name, from, needed: required.includes(name) }));
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const folder = packageFolder(next.name, next.from);
    if (folder === undefined) {
      if (next.needed) missing.push(next.name);
      continue;
    }
    const known = found.get(next.name);
    if (known === folder) continue;
    if (known !== undefined) throw new Error(`${next.name} is there twice: ${known} and ${folder}`);
    found.set(next.name, folder);
    const { version, dependencies = {}, optionalDependencies = {} } = readManifest(folder);
    if (nativePackages.includes(next.name)) versions[next.name] = version;
    files.push(...filesOf(next.name, folder, platform));
    if (required.includes(next.name) && hasPrebuilds(folder) && !existsSync(join(folder, 'prebuilds', platform))) {
      missing.push(`${next.name}/prebuilds/${platform}`);
    }
    for (const name of Object.keys(dependencies)) waiting.push({ name, from: folder, needed: true });
    for (const name of Object.keys(optionalDependencies)) {
      const forOne = platformSuffix.test(name);
      const needed = forOne && required.includes(next.name);
      if (!forOne || name.endsWith(`-${platform}`)) waiting.push({ name, from: folder, needed });
    }
    const perPlatform = Object.keys(optionalDependencies).filter((name) => platformSuffix.test(name));
    if (required.includes(next.name) && perPlatform.length > 0) {
      if (!perPlatform.some((name) => name.endsWith(`-${platform}`))) missing.push(`${next.name} for ${platform}`);
    }
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { versions, files, missing: [...new Set(missing)] };
}

/**
 * @param {string} name
 * @param {string} folder
 * @param {string} platform
 */
function filesOf(name, folder, platform) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((path) => {
      if (/(^|\/)node_modules(\/|$)/.test(path) || (dropped.test(path) && !/^licen[cs]e/i.test(path))) return false;
      const [top, of] = path.split('/');
      return (top !== 'prebuilds' || of === undefined || of === platform) && statSync(join(folder, path)).isFile();
    })
    .map((path) => ({ path: `node_modules/${name}/${path}`, source: join(folder, path) }));
}

/** @param {string} folder */
function hasPrebuilds(folder) {
  return existsSync(join(folder, 'prebuilds'));
}

/**
 * @param {string} name
 * @param {string} from
 */
function packageFolder(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate);
    if (dirname(folder) === folder) return undefined;
  }
}

/**
 * @param {string} folder
 * @returns {{ version: string, dependencies?: Record<string, string>, optionalDependencies?: Record<string, string> }}
 */
function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}
