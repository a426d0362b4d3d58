import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { bindingRequest, mappedAddress } from './stun-message.ts';

/** What came of asking a STUN server for our address. */
export type StunOutcome = { outside: string; local: string } | { error: string };

/** Sent again after each of these, milliseconds: one datagram may be lost. */
const askAgainMs = [0, 300, 900];
const giveUpMs = 2_500;

/** Asks `host`:`port` over UDP from which address this machine comes. Never rejects. */
export async function askStun(host: string, port: number, signal?: AbortSignal): Promise<StunOutcome> {
  let address: string;
  let family: number;
  try {
    ({ address, family } = isIP(host) ? { address: host, family: isIP(host) } : await lookup(host));
  } catch (error) {
    return { error: `its name cannot be looked up: ${error instanceof Error ? error.message : String(error)}` };
  }
  const transaction = randomBytes(12);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  const timers: NodeJS.Timeout[] = [];
  try {
    return await new Promise<StunOutcome>((resolve) => {
      signal?.addEventListener('abort', () => resolve({ error: 'there was no time to wait' }), { once: true });
      socket.on('error', (error) => resolve({ error: error.message }));
      socket.on('message', (answer) => {
        const outside = mappedAddress(answer, transaction);
        if (outside) resolve({ outside, local: `${socket.address().address}:${socket.address().port}` });
      });
      // Connected, so that a port where nobody listens is told of, and nobody else is heard.
      socket.connect(port, address, () => {
        for (const ms of askAgainMs) timers.push(setTimeout(() => socket.send(bindingRequest(transaction)), ms));
      });
      timers.push(setTimeout(() => resolve({ error: `no answer within ${giveUpMs / 1_000} s` }), giveUpMs));
    });
  } finally {
    for (const timer of timers) clearTimeout(timer);
    socket.close();
  }
}
