import { Worker } from 'node:worker_threads';
import type { ConnectScreens, FromScreens } from './screen-messages.ts';

/** Screens drawn in a worker thread of their own, whose code lies beside the built server. */
export function screensInWorker(script: URL = new URL('./screen-worker.js', import.meta.url)): ConnectScreens {
  return (handler) => {
    const worker = new Worker(script, { execArgv: [], stdout: false, stderr: false });
    let closing = false;
    worker.on('message', (message: FromScreens) => handler.message(message));
    worker.on('error', (error) => handler.broken(error));
    worker.on('exit', (code) => {
      if (!closing) handler.broken(new Error(`the screen worker ended with code ${code}`));
    });
    return {
      post: (message) =>
        worker.postMessage(message, message.type === 'bytes' ? [message.bytes.buffer as ArrayBuffer] : []),
      close: async () => {
        closing = true;
        await worker.terminate();
      },
    };
  };
}
