import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { TLSSocket } from 'node:tls';
import { ConfigStore, type GatewayTarget } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import { proxyFor } from '../mesh/proxy.ts';
import type { DaemonFacts } from './daemon-facts.ts';

/** What came of one way to ask the gateway how it is. */
export interface GatewayAnswer {
  /** HTTP status; null where there was no answer. */
  status: number | null;
  /** Why there was none. */
  error: string | null;
  /** The gateway's clock, less half of the round trip, against ours: positive where ours is late, milliseconds. */
  aheadMs: number | null;
}

export interface GatewayFacts {
  /** Without its fragment; undefined where none is set and no daemon runs that embeds one. */
  url: string | undefined;
  embedded: boolean;
  /** What the daemon says of its connection. */
  state: { state: string; error: string | null } | undefined;
  /** Without any proxy. */
  direct: GatewayAnswer | undefined;
  /** The proxy that the environment names for it, without its credentials. */
  proxy: string | undefined;
  /** Through that proxy. */
  proxied: GatewayAnswer | undefined;
}

const answerMs = 4_000;

export async function gatewayFacts(
  { home, env }: { home: Home; env: NodeJS.ProcessEnv },
  { status }: DaemonFacts,
): Promise<GatewayFacts> {
  const target = targetOf(home);
  const url = target?.urls[0] ?? status?.gateway.url ?? undefined;
  const embedded = target === undefined;
  const state = status && { state: status.gateway.state, error: status.gateway.error };
  if (url === undefined) return { url, embedded, state, direct: undefined, proxy: undefined, proxied: undefined };
  const fingerprint = target?.fingerprint ?? null;
  const proxy = proxyFor(new URL(url), env);
  const [direct, proxied] = await Promise.all([
    askGateway({ url, fingerprint, embedded }),
    proxy === undefined ? undefined : askGateway({ url, fingerprint, embedded, proxy }),
  ]);
  return { url, embedded, state, direct, proxy: proxy === undefined ? undefined : withoutCredentials(proxy), proxied };
}

/** Settings that cannot be read are another check's matter. */
function targetOf(home: Home): GatewayTarget | undefined {
  try {
    return new ConfigStore(home).current.gateway;
  } catch {
    return undefined;
  }
}

function withoutCredentials(proxy: string): string {
  if (!URL.canParse(proxy)) return proxy.replace(/\/\/.*@/, '//');
  const url = new URL(proxy);
  return `${url.protocol}//${url.host}`;
}

interface Question {
  url: string;
  /** SHA-256 of the certificate that must be shown, hex; null: the usual check. */
  fingerprint: string | null;
  /** Our own: whatever certificate it shows, it is in this process' home. */
  embedded: boolean;
  proxy?: string;
}

/** `GET /healthz`; nothing is sent before the certificate is the one that is known. Never rejects. */
export async function askGateway({ url, fingerprint, embedded, proxy }: Question): Promise<GatewayAnswer> {
  const target = new URL(url);
  const tls = target.protocol === 'wss:';
  const agent = proxy === undefined ? undefined : new (await import('../mesh/proxy-agent.ts')).HttpsProxyAgent(proxy);
  const askedAt = Date.now();
  return await new Promise((resolve) => {
    const none = (error: string): void => resolve({ status: null, error, aheadMs: null });
    const options = {
      host: target.hostname.replace(/^\[|\]$/g, ''),
      port: target.port || (tls ? 443 : 80),
      path: '/healthz',
      signal: AbortSignal.timeout(answerMs),
      ...(agent ? { agent } : { agent: false as const }),
    };
    const request = tls
      ? httpsRequest({ ...options, rejectUnauthorized: fingerprint === null && !embedded })
      : httpRequest(options);
    request.on('error', (error) => none(reason(error)));
    request.on('response', (response) => {
      response.resume();
      const now = Date.now();
      const date = Date.parse(response.headers.date ?? '');
      // The header has whole seconds: half of one is the best guess.
      const aheadMs = Number.isNaN(date) ? null : date + 500 - (askedAt + now) / 2;
      resolve({ status: response.statusCode ?? 0, error: null, aheadMs });
    });
    request.once('socket', (socket) => {
      if (!(socket instanceof TLSSocket)) {
        request.end();
        return;
      }
      socket.once('secureConnect', () => {
        const shown = (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase();
        if (fingerprint === null || shown === fingerprint.toLowerCase()) request.end();
        else request.destroy(new Error('it shows another certificate than the one that is known'));
      });
    });
  });
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was broken off',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'its name cannot be looked up now',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'no answer',
  ABORT_ERR: `no answer within ${answerMs / 1_000} s`,
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is its own, and no fingerprint of it is known',
  CERT_HAS_EXPIRED: 'its certificate has expired: it has, or a clock is wrong',
};

function reason(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  return reasons[code] ?? (error.message || code);
}
