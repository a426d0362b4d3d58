// `npm run package`: builds the product and packs it for this platform, with the native parts that its daemon needs, so
// that the extension alone can start one. It is put together in a folder of its own, since those parts are not where the
// repository's node_modules has them for all platforms; .vscodeignore says what goes in.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createVSIX } from '@vscode/vsce';
import { findNatives, nativePackages } from '../daemon/lifecycle/native-packages.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  // --no-build packs what dist/ holds; --out names the file.
  options: { out: { type: 'string' }, 'no-build': { type: 'boolean', default: false } },
});

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
  const natives = findNatives(root, target);
  if (natives.missing.length > 0) throw new Error(`not here for ${target}: ${natives.missing.join(', ')}`);
  for (const { path, source } of natives.files) cpSync(source, join(stage, path));
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

function readManifest(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
