// Bundles the product into dist/: the CLI and its processes (code-split, so that a command loads only what it uses), and the extension.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, rename, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { nativePackages } from './daemon/lifecycle/native-packages.mjs';

const { values } = parseArgs({
  options: {
    // For tests: another folder, another version, and as small as can be.
    out: { type: 'string', default: 'dist' },
    version: { type: 'string', default: JSON.parse(readFileSync('package.json', 'utf8')).version },
    small: { type: 'boolean', default: false },
  },
});
const { out, version, small } = values;

/** Tells builds of one version apart: the same sources and packages make the same one, wherever they are built. */
const buildId = hashOf([
  'package.json',
  'package-lock.json',
  'esbuild.mjs',
  ...sourcesIn('shared'),
  ...sourcesIn('daemon'),
]);

const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: !small,
  define: { NIIA_VERSION: JSON.stringify(version), NIIA_BUILD: JSON.stringify(buildId) },
  minifySyntax: true,
  minifyWhitespace: small,
  minifyIdentifiers: small,
  logLevel: 'warning',
  // CommonJS packages inside an ES module bundle still call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
};

// Built beside and put in place at the end: whoever runs from dist/ meanwhile has the old build or the new one.
const fresh = `${out}.${process.pid}.new`;
const old = `${out}.${process.pid}.old`;
await Promise.all([
  build({
    ...common,
    entryPoints: {
      niia: 'daemon/niia.ts',
      tour: 'daemon/tour/main.ts',
      'screen-worker': 'daemon/headless/screen-worker.ts',
      webrtc: 'daemon/webrtc/main.ts',
    },
    outdir: fresh,
    splitting: true,
    // Beside the entry points, so that import.meta.url finds them from any chunk.
    chunkNames: 'chunk-[hash]',
    external: nativePackages,
  }),
  build({
    ...common,
    entryPoints: { extension: 'extension/extension.ts' },
    outdir: fresh,
    // What few windows need (the reader of connector files) is loaded once it is wanted.
    splitting: true,
    chunkNames: 'extension-[hash]',
    external: ['vscode'],
  }),
]);
await chmod(`${fresh}/niia.js`, 0o755);
await writeFile(`${fresh}/connector.schema.json`, await connectorSchema());
await rename(out, old).catch((error) => {
  if (error.code !== 'ENOENT') throw error;
});
await rename(fresh, out);
await rm(old, { recursive: true, force: true });

/** What the editor is told of connector files, made from what reads them. */
async function connectorSchema() {
  const outfile = resolve(fresh, 'connector-schema.mjs');
  await build({ ...common, entryPoints: ['shared/connector/json-schema.ts'], outfile, sourcemap: false });
  const { connectorJsonSchema } = await import(pathToFileURL(outfile).href);
  await rm(outfile);
  return `${JSON.stringify(connectorJsonSchema())}\n`;
}

function sourcesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => `${file.parentPath ?? file.path}/${file.name}`)
    .sort();
}

function hashOf(files) {
  const hash = createHash('sha256').update(version);
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(file));
  return hash.digest('hex').slice(0, 12);
}
