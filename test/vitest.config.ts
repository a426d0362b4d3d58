import { defineConfig } from 'vitest/config';
import { fullTier } from './support/tier.ts';

export default defineConfig({
  define: { NIIA_VERSION: JSON.stringify('0.0.0-test') },
  test: {
    root: new URL('..', import.meta.url).pathname,
    tags: [{ name: 'full', description: 'Only in the long tier (npm run test:full).', skip: !fullTier }],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/fuzz/**/*.test.ts'],
          testTimeout: 20_000,
          // Many wait for processes and timers; left to itself the runner takes one worker on two cores.
          maxWorkers: 3,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          globalSetup: process.env['NIIA_TEST_PREBUILT'] ? [] : ['test/support/build.ts'],
          testTimeout: 90_000,
          hookTimeout: 60_000,
          // Real processes, which wait for each other and for timers most of the time.
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'network',
          include: ['test/network/**/*.test.ts'],
          globalSetup: process.env['NIIA_TEST_PREBUILT'] ? [] : ['test/support/build.ts'],
          testTimeout: 90_000,
          hookTimeout: 60_000,
          // Promises about time, over networks of their own: one file at a time keeps them honest.
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'vscode',
          include: ['test/vscode/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
