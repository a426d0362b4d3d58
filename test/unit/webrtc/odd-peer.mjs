// The far end of a connection that does what niia never does. Signals go over standard input and output, one a line;
// argv[2] says what it does once it is connected.
import { createInterface } from 'node:readline';
import SimplePeer from 'simple-peer';
import wrtc from 'wrtc';

const peer = new SimplePeer({ initiator: true, wrtc, config: { iceServers: [] } });
peer.on('signal', (signal) => process.stdout.write(`${JSON.stringify(signal)}\n`));
peer.on('error', () => process.exit(0));
peer.on('close', () => process.exit(0));
createInterface(process.stdin).on('line', (line) => peer.signal(line));
process.stdin.on('end', () => process.exit(0));
peer.on('connect', () => {
  const channel = peer._channel;
  switch (process.argv[2]) {
    case 'says text':
      channel.send('hello');
      return;
    case 'opens another channel':
      peer._pc.createDataChannel('another');
      return;
    case 'sends too much at once':
      channel.send(new Uint8Array((128 << 10) + 65));
      return;
    case 'sends a message of no bytes':
      channel.send(new Uint8Array(0));
      channel.send(Uint8Array.of(1));
  }
});
