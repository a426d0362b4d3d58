import { workerPromises } from '../ai-cli/worker-promises.ts';

workerPromises('gemini');
