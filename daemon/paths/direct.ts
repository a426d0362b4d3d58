import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { connectWebSocket, linkPath } from '../mesh/websocket.ts';
import { type DialGreeting, greetListener } from './direct-greeting.ts';

/**
 * Dials a machine straight, at an address where it may listen. Its certificate is its own, and any will do: the
 * greeting binds the dialler's proof to it, and the link above proves who answered. No proxy: those are for gateways.
 */
export async function dialDirect(
  url: string,
  greeting: Omit<DialGreeting, 'certificate'>,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Transport> {
  const { transport, fingerprint } = await connectWebSocket(new URL(linkPath, url).href, {
    anyCertificate: true,
    what: 'the machine at',
    signal,
    timeoutMs,
    env: {},
  });
  const abort = (): void => transport.close(new NiiaError('cancelled', 'no longer wanted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await greetListener(transport, { ...greeting, certificate: fingerprint });
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
