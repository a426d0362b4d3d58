/**
 * The proxy that the environment names for `url`: `HTTPS_PROXY`, unless `NO_PROXY` excepts the host or it is this
 * computer itself. Lower-case names count as well and go first, as curl has it.
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const proxy = env['https_proxy'] || env['HTTPS_PROXY'];
  if (!proxy) return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  if (isLoopback(host)) return undefined;
  const port = url.port || (url.protocol === 'wss:' ? '443' : '80');
  const excepted = (env['no_proxy'] || env['NO_PROXY'] || '').split(/[\s,]+/).filter(Boolean);
  if (excepted.some((entry) => matches(entry.toLowerCase(), host, port))) return undefined;
  return /^[a-z]+:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d+){3}$/.test(host);
}

export function isLoopbackUrl(url: string): boolean {
  return URL.canParse(url) && isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''));
}

/** `*`, a host, a domain (with or without a leading dot or `*.`, its hosts too), each with or without a port. */
function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, name = '', only] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(entry) ?? [];
  if (name === host) return only === undefined || only === port;
  if (entry === host) return true;
  if (only !== undefined && only !== port) return false;
  return host.endsWith(`.${name.replace(/^\*?\./, '')}`);
}
