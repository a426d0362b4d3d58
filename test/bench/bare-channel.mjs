// The yardstick of the P2P path: one WebRTC data channel between two processes on this computer, by the libraries that
// niia uses (simple-peer over wrtc), ordered and reliable as there, DTLS and SCTP and all; and nothing of niia's: no
// encryption of its own, no log, no screen, no third process. usage:
//   bare-channel.mjs terminal SCRIPT   types into SCRIPT, run by sh in a PTY at the other end, and shows what it shows
//   bare-channel.mjs pings             for each message {count} on its IPC channel: so many 64-byte messages there and
//                                      back, one at a time; answers with their round trips in microseconds
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { spawn as spawnPty } from 'node-pty';
import SimplePeer from 'simple-peer';
import wrtc from 'wrtc';

/** Where the other side stops to send, and goes on; looked at every so often, for there is no event. */
const [channelHigh, channelLow, lookMs] = [1 << 20, 256 << 10, 1];

/**
 * One end of the channel. Signals go over the IPC channel between the two processes.
 * @param {boolean} initiator
 * @param {{ send(message: unknown): void, on(event: 'message', listener: (message: unknown) => void): void }} ipc
 */
async function open(initiator, ipc) {
  const peer = new SimplePeer({ initiator, wrtc, config: { iceServers: [] }, objectMode: true });
  peer.on('signal', (signal) => ipc.send({ signal }));
  ipc.on('message', ({ signal }) => signal && peer.signal(signal));
  // Either end goes with the other.
  peer.on('error', () => process.exit(1));
  peer.on('close', () => process.exit(0));
  await once(peer, 'connect');
  return peer;
}

/** The process at the other end. @param {string[]} role */
async function openWith(...role) {
  const child = fork(fileURLToPath(import.meta.url), role, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  return await open(true, child);
}

/** @param {string} script */
async function terminal(script) {
  // Node's own raw mode would still put a carriage return before each line feed.
  execFileSync('stty', ['raw', '-echo'], { stdio: 'inherit' });
  const peer = await openWith('shell', script);
  peer.on('data', (bytes) => process.stdout.write(bytes));
  process.stdin.on('data', (bytes) => peer.send(bytes));
  process.on('SIGHUP', () => process.exit(0));
}

/** @param {string} script */
async function shell(script) {
  const peer = await open(false, process);
  const pty = spawnPty('sh', ['-c', script], { name: 'xterm-256color', cols: 80, rows: 24, encoding: null });
  pty.onData((bytes) => {
    peer.send(bytes);
    if (peer.bufferSize < channelHigh) return;
    pty.pause();
    const look = setInterval(() => {
      if (peer.bufferSize > channelLow) return;
      clearInterval(look);
      pty.resume();
    }, lookMs);
  });
  pty.onExit(() => process.exit(0));
  peer.on('data', (bytes) => pty.write(Buffer.from(bytes)));
}

async function pings() {
  const peer = await openWith('echo');
  const message = Buffer.alloc(64, 'niia');
  process.on('message', async ({ count }) => {
    const times = [];
    for (let index = 0; index < count; index++) {
      const started = performance.now();
      peer.send(message);
      const [bytes] = await once(peer, 'data');
      if (bytes.length !== message.length) throw new Error('another message came back than was sent');
      times.push((performance.now() - started) * 1000);
    }
    process.send?.({ times });
  });
  process.send?.({ ready: true });
}

async function echo() {
  const peer = await open(false, process);
  peer.on('data', (bytes) => peer.send(bytes));
}

const [role = '', script = ''] = process.argv.slice(2);
// Whoever started it is gone.
process.on('disconnect', () => process.exit(0));
await { terminal, shell, pings, echo }[role]?.(script);
