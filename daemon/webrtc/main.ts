import { Socket } from 'node:net';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';
import { encodeHelperControl } from './helper-protocol.ts';

// The helper of a daemon that alone loads WebRTC's native part. It speaks on file descriptor 3 and ends with it.
process.title = 'niia webrtc';
// Ctrl-C and a closed window reach the whole process group; the daemon decides when this process ends.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

const socket = new Socket({ fd: 3 });
const pipe = new SocketTransport(socket);
let gathering = false;
/** The native library calls for each message by itself, and Node ends a tick after each call: that is one write each. */
function gather(): void {
  if (gathering) return;
  gathering = true;
  socket.cork();
  setImmediate(() => {
    gathering = false;
    socket.uncork();
  });
}

try {
  const { Helper } = await import('./helper.ts');
  // The native library's threads and timers would keep the process for seconds.
  new Helper(pipe, gather, () => process.exit(0));
} catch (error) {
  socket.once('close', () => process.exit(1));
  const reason = error instanceof Error ? error.message : String(error);
  pipe.send(encodeHelperControl(0, { type: 'unavailable', reason }));
  pipe.close();
  // Read to its end, or it does not close.
  socket.resume();
}
