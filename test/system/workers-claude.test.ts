import { describe } from 'vitest';
import { workerPromises } from '../ai-cli/worker-promises.ts';

// Its licence is its own: it is installed for those only who ask for it.
if (process.env['NIIA_TEST_CLAUDE'] === '1') workerPromises('claude');
else describe.skip('claude as a worker (NIIA_TEST_CLAUDE=1)', () => undefined);
