import { once } from 'node:events';
import { NiiaError } from '../../shared/errors.ts';
import { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import { encodeGatewayUrl } from '../mesh/gateway-url.ts';
import { parseListen, reachableHosts } from './addresses.ts';
import type { Certificate } from './certificate.ts';
import { certificateFromFiles, ownCertificate } from './certificate.ts';
import type { TurnOptions } from './ice.ts';
import { IceOffer } from './ice.ts';
import { listenGateway } from './listener.ts';
import { GatewayServer } from './server.ts';
import { GatewayStore } from './store.ts';
import { StunServer } from './stun-server.ts';

export interface GatewayOptions {
  /** `HOST:PORT`; 127.0.0.1:7447 unless said. */
  listen?: string;
  /** `auto` (its own certificate), `off`, or the paths `CERT,KEY`. */
  tls?: string;
  /** State folder; `gateway` in the home unless said. */
  state?: string;
  /** TURN servers that machines are told of. */
  turn?: TurnOptions;
}

/**
 * A gateway of its own, until SIGTERM or SIGINT. Prints its URL, one line, on standard output once it serves. Throws
 * `usage`, `port_taken` or `io`.
 */
export async function runGateway(options: GatewayOptions): Promise<void> {
  const { listen = '127.0.0.1:7447', tls = 'auto', state, turn } = options;
  const { host, port } = parseListen(listen);
  const ice = new IceOffer(turn);
  const log = new Log('gateway');
  const store = new GatewayStore(state ?? defaultState(), log);
  const certificate = await certificateFor(tls, store.dir);
  const admission = store.admissionSecret();
  const server = new GatewayServer({ store, fingerprint: certificate?.fingerprint ?? '', admission, ice, log });
  try {
    const listener = await listenGateway({ host, port, tls: certificate, server });
    const stun = await StunServer.start({ host, port: listener.port, log });
    ice.stunPort = stun?.port;
    const stop = new AbortController();
    const stopped = Promise.race(
      ['SIGTERM', 'SIGINT'].map((signal) => once(process, signal, { signal: stop.signal }).then(() => signal)),
    );
    const outside = reachableHosts(host)[0] ?? host;
    // A certificate from an authority is checked by its name, so that a renewed one is good too.
    const authority = certificate !== null && !certificate.selfSigned;
    const url = encodeGatewayUrl({
      host: (authority ? certificate.name : undefined) ?? outside,
      port: listener.port,
      tls: certificate !== null,
      fingerprint: certificate?.selfSigned ? certificate.fingerprint : null,
      admit: admission,
    });
    process.stdout.write(`${url}\n`);
    log.info('serving', {
      host,
      port: listener.port,
      tls: certificate !== null,
      stun: stun !== undefined,
      state: store.dir,
    });
    log.info('draining', { signal: await stopped });
    stop.abort();
    stun?.close();
    await server.drain();
    await listener.close();
    log.info('stopped');
  } finally {
    server.close();
  }
}

function defaultState(): string {
  const home = Home.fromEnvironment();
  home.prepare();
  return home.folder('gateway');
}

async function certificateFor(tls: string, dir: string): Promise<Certificate | null> {
  if (tls === 'off') return null;
  if (tls === 'auto') return ownCertificate(dir);
  const [cert, key, ...rest] = tls.split(',');
  if (!cert || !key || rest.length > 0) {
    throw new NiiaError('usage', `--tls does not know "${tls}"`, 'Give auto, off, or two PEM files: --tls CERT,KEY');
  }
  return certificateFromFiles(cert, key);
}
