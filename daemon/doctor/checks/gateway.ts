import type { Check, Finding } from '../check.ts';
import { fail, pass, skip, warn } from '../check.ts';
import type { GatewayAnswer, GatewayFacts } from '../gateway-facts.ts';

/** The gateway without a proxy. */
export function judgeGateway({ url, embedded, state, direct, proxy, proxied }: GatewayFacts): Finding {
  if (url === undefined || !direct) return skip('this machine embeds its gateway, and is down', 'niia up');
  const said = problem(direct);
  if (said === undefined) {
    if (state && state.state !== 'connected') {
      return fail(
        `${url} answers, but the daemon is ${state.state}: ${state.error ?? 'no reason is known'}`,
        'niia status',
      );
    }
    return pass(`${url} answers${embedded ? ' (embedded)' : ''}${state ? ', and the daemon is connected' : ''}`);
  }
  if (proxy !== undefined && proxied && problem(proxied) === undefined) {
    return pass(`${url} is reached through the proxy alone (without: ${said})`);
  }
  return fail(`${url}: ${said}`, mendFor(said, embedded));
}

/** The gateway through the proxy that the environment names. */
export function judgeProxy({ url, proxy, proxied, direct }: GatewayFacts): Finding {
  if (proxy === undefined || !proxied) return skip('no proxy is named for the gateway (HTTPS_PROXY)');
  const said = problem(proxied);
  if (said === undefined) return pass(`${url} answers through ${proxy}`);
  const mend = 'Check HTTPS_PROXY, or except the gateway: NO_PROXY=HOST';
  const other = direct && problem(direct) === undefined ? '; without it the gateway answers' : '';
  return fail(`${url} through ${proxy}: ${said}${other}`, mend);
}

function problem({ status, error }: GatewayAnswer): string | undefined {
  if (status === 200) return undefined;
  return error ?? (status === 503 ? 'it is shutting down' : `it answered HTTP ${status}`);
}

function mendFor(said: string, embedded: boolean): string {
  if (/certificate/.test(said)) return 'Get its URL anew from whoever runs it: niia up --gateway URL';
  if (embedded) return 'niia down && niia up    (sessions live on)';
  return 'Start it where it runs: niia gateway; let a firewall pass its port; or name a proxy: HTTPS_PROXY';
}

export const checkGateway: Check = async ({ gateway }) => judgeGateway(await gateway());
export const checkProxy: Check = async ({ gateway }) => judgeProxy(await gateway());

/** Whether machines that others offer to reach are told so: a draining or refusing gateway is the daemon's to say. */
export function judgeLinks(links: ReadonlyArray<{ machine: string; state: string }> | undefined): Finding {
  if (!links) return skip('no daemon runs', 'niia up');
  const down = links.filter((link) => link.state !== 'up').map((link) => link.machine);
  if (links.length === 0) return skip('no other machine is in the team', 'niia invite');
  if (down.length === 0) return pass(`linked to all ${links.length} other machines`);
  const found = `no link to ${down.slice(0, 5).join(', ')}${down.length > 5 ? ' and others' : ''}`;
  return warn(found, `niia remote path ${down[0]}`);
}

export const checkLinks: Check = async ({ daemon }) => judgeLinks((await daemon()).status?.links);
