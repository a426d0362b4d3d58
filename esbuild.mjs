// Bundles the product into dist/: the CLI and its processes (code-split, so that a command loads only what it uses), and the extension.

import { readFileSync } from 'node:fs';
import { chmod, rename, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

/** Packages with native parts stay outside the bundles; they are resolved from node_modules at run time. */
const nativeModules = ['node-pty', 'sodium-native', 'wrtc'];

const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: true,
  define: { NIIA_VERSION: JSON.stringify(version) },
  minifySyntax: true,
  logLevel: 'warning',
  // CommonJS packages inside an ES module bundle still call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
};

// Built beside and put in place at the end: whoever runs from dist/ meanwhile has the old build or the new one.
const fresh = `dist.${process.pid}.new`;
const old = `dist.${process.pid}.old`;
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
    external: nativeModules,
  }),
  build({
    ...common,
    entryPoints: { extension: 'extension/extension.ts' },
    outdir: fresh,
    external: ['vscode'],
  }),
]);
await chmod(`${fresh}/niia.js`, 0o755);
await rename('dist', old).catch((error) => {
  if (error.code !== 'ENOENT') throw error;
});
await rename(fresh, 'dist');
await rm(old, { recursive: true, force: true });
