import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/** @typedef {{ RpcProbe: typeof import('./rpc-probe.ts').RpcProbe, EchoStream: typeof import('../support/stream.ts').EchoStream, Lab: typeof import('../netlab/lab.ts').Lab, hostile: string }} Bundles */

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
/** Left outside, and resolved from here: the bundles lie elsewhere. */
const native = ['sodium-native', 'node-pty', 'wrtc'];

/**
 * The parts of the bench that are TypeScript: the product's own client side, for measurements that no command makes; a
 * stream that counts its lines; the network laboratory; and the path of the program of a hostile machine.
 * @param {import('./scratch.mjs').Scratch} scratch
 * @returns {Promise<Bundles>}
 */
export async function makeBundles(scratch) {
  const entryPoints = {
    'rpc-probe': here('./rpc-probe.ts'),
    stream: here('../support/stream.ts'),
    lab: here('../netlab/lab.ts'),
    hostile: here('./hostile.ts'),
  };
  const outdir = scratch.path('bundles');
  await build({
    ...{ entryPoints, outdir, bundle: true, splitting: true, platform: 'node', format: 'esm', target: 'node20' },
    outExtension: { '.js': '.mjs' },
    external: native,
    define: {
      NIIA_VERSION: JSON.stringify('bench'),
      // The laboratory starts programs that lie beside it; nothing else asks where it is.
      'import.meta.dirname': JSON.stringify(here('../netlab')),
    },
    banner: {
      js: `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(${JSON.stringify(import.meta.url)});`,
    },
    logLevel: 'warning',
  });
  const load = (/** @type {string} */ name) => import(pathToFileURL(`${outdir}/${name}.mjs`).href);
  const [{ RpcProbe }, { EchoStream }, { Lab }] = await Promise.all([load('rpc-probe'), load('stream'), load('lab')]);
  return { RpcProbe, EchoStream, Lab, hostile: `${outdir}/hostile.mjs` };
}
