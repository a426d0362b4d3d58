import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { launchBrowser } from './browser.ts';
import { RunningCodeServer } from './code-server.ts';

export interface ExtensionHostOptions {
  /** The folder of the extension under test: package.json and the built entry point. */
  extensionPath: string;
  /** A test file for mocha (bdd), or a folder with files named *.mocha.ts. They may import `vscode`, `mocha` and any source. */
  testsPath: string;
  /** The folder to open; a new empty one unless given. */
  workspace?: string;
  env?: Readonly<Record<string, string | undefined>>;
  settings?: Readonly<Record<string, unknown>>;
  /** For all tests together, the editor's start included. Default 120,000. */
  timeoutMs?: number;
}

export interface HostTest {
  title: string;
  state: 'passed' | 'failed' | 'skipped';
  durationMs: number;
  error?: string;
}

export interface HostResult {
  /** 0 where all passed. */
  exitCode: number;
  passed: number;
  failed: number;
  skipped: number;
  tests: HostTest[];
  /** What the extension host and the editor logged, `console.log` of the tests included. */
  output: string;
}

const ENTRY = fileURLToPath(new URL('mocha-in-host.cjs', import.meta.url));
const MOCHA = createRequire(import.meta.url).resolve('mocha');
const TEST_TIMEOUT_MS = 20_000;

/** Runs mocha inside a real extension host, where `require('vscode')` is the editor's own. */
export async function runInExtensionHost(options: ExtensionHostOptions): Promise<HostResult> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'niia-host-'));
  try {
    const workspace = options.workspace ?? path.join(folder, 'workspace');
    await mkdir(workspace, { recursive: true });
    const report = path.join(folder, 'report.json');
    const bundles = await bundle(await testFiles(options.testsPath), path.join(folder, 'bundles'));
    const server = await RunningCodeServer.start({
      // Without this option the build ignores the payload, silently. It also suppresses notifications.
      args: ['--vscode-option', 'enable-smoke-test-driver'],
      env: { ...options.env, NIIA_TEST_MOCHA: JSON.stringify({ bundles, report, timeoutMs: TEST_TIMEOUT_MS }) },
      ...(options.settings && { settings: options.settings }),
    });
    try {
      const run = await drive(server, options.extensionPath, workspace, options.timeoutMs ?? 120_000);
      return { ...run, ...(await readReport(report, run.output)) };
    } finally {
      await server.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function testFiles(testsPath: string): Promise<string[]> {
  if (!(await stat(testsPath)).isDirectory()) return [path.resolve(testsPath)];
  const files = (await readdir(testsPath)).filter((name) => name.endsWith('.mocha.ts')).sort();
  if (files.length === 0) throw new Error(`no *.mocha.ts in ${testsPath}`);
  return files.map((name) => path.resolve(testsPath, name));
}

/** One file each, so that what a test imports is the source and nothing must be built before. */
async function bundle(files: string[], folder: string): Promise<string[]> {
  const entryPoints = files.map((file, index) => ({ in: file, out: `${index}` }));
  await build({
    entryPoints,
    outdir: folder,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    // The mocha that runs the tests, not a copy of it: `import { it } from 'mocha'` must reach the running one.
    alias: { mocha: MOCHA },
    external: ['vscode', MOCHA, '*.node'],
    sourcemap: 'inline',
    logLevel: 'silent', // errors are thrown
  });
  return entryPoints.map(({ out }) => path.join(folder, `${out}.cjs`));
}

async function drive(
  server: RunningCodeServer,
  extensionPath: string,
  workspace: string,
  timeoutMs: number,
): Promise<{ exitCode: number; output: string }> {
  const browser = await launchBrowser(server.processes.env);
  const lines: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    const page = await browser.newPage();
    page.on('pageerror', (error) => lines.push(error.stack ?? error.message));
    const exitCode = await new Promise<number>((resolve, reject) => {
      const fail = () =>
        reject(new Error(`no result from the extension host within ${timeoutMs} ms:\n${lines.join('\n')}`));
      timer = setTimeout(fail, timeoutMs);
      const open = async () => {
        await page.exposeFunction('codeAutomationLog', (_type: string, args: unknown[]) => lines.push(args.join(' ')));
        await page.exposeFunction('codeAutomationExit', resolve);
        const remote = (file: string) => `vscode-remote://127.0.0.1:${server.port}${path.resolve(file)}`;
        await page.goto(
          server.url(workspace, [
            ['extensionDevelopmentPath', remote(extensionPath)],
            ['extensionTestsPath', remote(ENTRY)],
          ]),
          { timeout: timeoutMs },
        );
      };
      open().catch(reject);
    });
    return { exitCode, output: lines.join('\n') };
  } finally {
    clearTimeout(timer);
    await browser.close();
  }
}

async function readReport(
  file: string,
  output: string,
): Promise<Pick<HostResult, 'tests' | 'passed' | 'failed' | 'skipped'>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new Error(`the tests did not run to their end in the extension host:\n${output}`, { cause });
  }
  const tests: HostTest[] = JSON.parse(text);
  const count = (state: HostTest['state']) => tests.filter((test) => test.state === state).length;
  return { tests, passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
}
