// `npm run package`: builds the product and packs it for this platform, with the native parts that its daemon needs, so
// that the extension alone can start one. It is put together in a folder of its own, since those parts are not where the
// repository's node_modules has them for all platforms; .vscodeignore says what goes in.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createVSIX } from '@vscode/vsce';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  // --no-build packs what dist/ holds; --out names the file.
  options: { out: { type: 'string' }, 'no-build': { type: 'boolean', default: false } },
});

/** Packages with native parts, which the bundles load at run time. */
const nativePackages = ['node-pty', 'sodium-native', 'wrtc'];
const target = `${process.platform}-${process.arch}`;
const plain = ['.vscodeignore', 'README.md', 'CHANGELOG.md', 'LICENSE', 'extension/media', 'dist'];

if (!values['no-build']) execFileSync(process.execPath, ['esbuild.mjs'], { cwd: root, stdio: 'inherit' });
const manifest = readManifest(join(root, 'package.json'));
const packagePath = resolve(values.out ?? join(root, `niia-${target}-${manifest.version}.vsix`));
mkdirSync(dirname(packagePath), { recursive: true });

const stage = mkdtempSync(join(tmpdir(), 'niia-package-'));
try {
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(shipped(manifest), null, 2)}\n`);
  for (const path of plain)
    if (existsSync(join(root, path))) cpSync(join(root, path), join(stage, path), { recursive: true });
  for (const name of dependenciesOf(nativePackages)) copyPackage(name);
  await createVSIX({
    ...{ cwd: stage, packagePath, target, useYarn: false },
    ...{ allowMissingRepository: true, rewriteRelativeLinks: false },
  });
} finally {
  rmSync(stage, { recursive: true, force: true });
}

/** The manifest without what only the npm package and the workshop need. */
function shipped({ scripts: _scripts, devDependencies: _dev, dependencies, ...rest }) {
  const natives = Object.fromEntries(Object.entries(dependencies).filter(([name]) => nativePackages.includes(name)));
  return { ...rest, dependencies: natives };
}

/** These packages and all that they need and that is installed here: optional ones are there for this platform only. */
function dependenciesOf(names) {
  const all = new Set();
  const waiting = [...names];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (all.has(name) || !existsSync(packageFolder(name))) continue;
    all.add(name);
    const { dependencies = {}, optionalDependencies = {} } = readManifest(join(packageFolder(name), 'package.json'));
    waiting.push(...Object.keys(dependencies), ...Object.keys(optionalDependencies));
  }
  return [...all].sort();
}

/** Without prebuilt parts for other platforms, and without what only a compiler or a reader wants. */
function copyPackage(name) {
  const from = packageFolder(name);
  const dropped = /[.](map|md|markdown|d[.][cm]?ts|ts|c|cc|h|gyp|bare)$|(^|\/)CMakeLists[.]txt$/;
  const filter = (file) => {
    const path = file.slice(from.length + 1).replaceAll('\\', '/');
    if (/^node_modules(\/|$)/.test(path) || (dropped.test(path) && !/^licen[cs]e/i.test(path))) return false;
    const [folder, platform] = path.split('/');
    return folder !== 'prebuilds' || platform === undefined || platform === target;
  };
  cpSync(from, join(stage, 'node_modules', name), { recursive: true, filter });
  const prebuilds = join(from, 'prebuilds');
  if (nativePackages.includes(name) && existsSync(prebuilds) && !readdirSync(prebuilds).includes(target)) {
    throw new Error(`${name} has no prebuilt part for ${target}`);
  }
}

function packageFolder(name) {
  return join(root, 'node_modules', name);
}

function readManifest(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
