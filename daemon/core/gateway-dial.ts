import { NiiaError } from '../../shared/errors.ts';
import type { EmbeddedGateway } from '../gateway/embedded-gateway.ts';
import type { GatewayTarget } from '../home/config.ts';
import type { DialledGateway } from '../mesh/gateway-client-connection.ts';
import { race } from '../mesh/race.ts';
import { connectWebSocket } from '../mesh/websocket.ts';

const dialTimeoutMs = 7_000;
/** TCP asks for a lost connection after 1, 3 and 7 s only: a network that comes back is found sooner by a fresh attempt. */
const staggerMs = 1_200;
const rounds = 5;

/** One attempt at the gateway: our own without a socket, another by its addresses in turn, again where none answers. */
export async function reachGateway(
  target: GatewayTarget | undefined,
  embedded: EmbeddedGateway | undefined,
  signal: AbortSignal,
): Promise<DialledGateway> {
  if (!target) {
    if (!embedded) throw new NiiaError('gateway_unreachable', 'the embedded gateway is not running');
    return { transport: embedded.connect(), fingerprint: embedded.fingerprint };
  }
  const { urls, fingerprint } = target;
  if (urls.length === 0) {
    throw new NiiaError('gateway_unreachable', 'no gateway address is known', 'Give one with: niia up --gateway URL');
  }
  /** What was refused is not asked again in this attempt: only silence is. */
  const refused = new Map<string, unknown>();
  const attempt = (url: string) => async (aborted: AbortSignal) => {
    if (refused.has(url)) throw refused.get(url);
    try {
      return await connectWebSocket(url, { fingerprint, signal: aborted, timeoutMs: dialTimeoutMs });
    } catch (error) {
      refused.set(url, error);
      throw error;
    }
  };
  return await race({
    attempts: Array.from({ length: rounds }, () => urls.map(attempt)).flat(),
    staggerMs,
    signal,
    discard: ({ transport }) => transport.close(),
  });
}
