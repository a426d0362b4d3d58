import { parentPort } from 'node:worker_threads';
import { Emulator } from './emulator.ts';
import type { ToScreens } from './screen-messages.ts';

/** Entry of the worker thread that draws all screens, so that parsing never delays input or viewers. */
const port = parentPort;
if (!port) throw new Error('the screen worker runs as a worker thread only');
const emulator = new Emulator((message) => port.postMessage(message));
// Only the server that started it has this port.
port.on('message', (message: ToScreens) => emulator.handle(message));
