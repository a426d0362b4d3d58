// The extension host loads this as `extensionTestsPath`. CommonJS, because the host requires it, and plain JavaScript,
// because nothing compiles it: it runs the test bundles and reports what became of them in a file.

const { writeFileSync } = require('node:fs');
const { findSourceMap } = require('node:module');
const path = require('node:path');
const Mocha = require('mocha');

/** @returns {Promise<void>} rejected where a test failed: the editor turns that into exit code 1 */
exports.run = () =>
  new Promise((resolve, reject) => {
    const { bundles, report, timeoutMs } = JSON.parse(process.env.NIIA_TEST_MOCHA ?? '');
    process.setSourceMapsEnabled(true);
    const mocha = new Mocha({
      ui: 'bdd',
      timeout: timeoutMs,
      reporter: recorderInto(report),
      forbidOnly: true,
      failZero: true,
    });
    for (const bundle of bundles) mocha.addFile(bundle);
    mocha.run((failures) => (failures > 0 ? reject(new Error(`${failures} tests failed`)) : resolve()));
  });

/** @param {string} file */
function recorderInto(file) {
  return class Recorder extends Mocha.reporters.Base {
    /** @param {import('mocha').Runner} runner */
    constructor(runner) {
      super(runner);
      /** @type {{title: string, state: string, durationMs: number, error?: string}[]} */
      const tests = [];
      /** @param {import('mocha').Runnable} test @param {string} state @param {Error} [error] */
      const add = (test, state, error) =>
        tests.push({
          title: test.fullTitle(),
          state,
          durationMs: test.duration ?? 0,
          ...(error && { error: inSources(error.stack ?? String(error)) }),
        });
      runner.on('pass', (test) => add(test, 'passed'));
      runner.on('pending', (test) => add(test, 'skipped'));
      runner.on('fail', (test, error) => add(test, 'failed', error));
      runner.once('end', () => writeFileSync(file, JSON.stringify(tests)));
    }
  };
}

/**
 * Names the sources' lines instead of the bundles'. Node would, but the editor formats stacks itself.
 * @param {string} stack
 */
function inSources(stack) {
  return stack.replaceAll(/(\/[^\s()]+\.cjs):(\d+):(\d+)/g, (place, file, line, column) => {
    const origin = findSourceMap(file)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (origin === undefined || !('originalSource' in origin)) return place;
    const source = origin.originalSource.replace(/^file:\/\//, '');
    return `${path.resolve(path.dirname(file), source)}:${origin.originalLine + 1}:${origin.originalColumn + 1}`;
  });
}
