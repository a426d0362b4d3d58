/** What replaces a secret. */
const gone = '[removed]';

/** Names of variables and settings whose values are nobody's business. */
const secretName =
  '[A-Za-z0-9_]*(?:TOKEN|SECRET|PASS|PASSWD|PASSWORD|KEY|CREDENTIAL|AUTH|COOKIE|ADMIT|PSK)[A-Za-z0-9_]*';

const patterns: ReadonlyArray<readonly [RegExp, string]> = [
  [/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g, gone],
  [/niia1-[A-Za-z0-9_-]*/g, gone],
  // A name and a password stand before the host; a gateway's URL carries its admission secret behind the #.
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi, `$1${gone}@`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s"'#]*)#[^\s"']*/gi, `$1#${gone}`],
  [/\b(bearer|basic)\s+[^\s"',]+/gi, `$1 ${gone}`],
  [new RegExp(`("${secretName}"\\s*:\\s*)"[^"]*"`, 'gi'), `$1"${gone}"`],
  // NAME=value as environments have it.
  [/\b([A-Z_][A-Z0-9_]*=)("[^"]*"|'[^']*'|[^\s"',}\]]+)/g, `$1${gone}`],
];

/** A run of letters long enough to be a key, a ticket or a token. */
const keyLike = /[A-Za-z0-9_+/-]{22,}={0,2}/g;

/**
 * A text without secrets: `known` ones wherever they stand, all that has the form of one, and whatever looks like a key.
 * `ids` are machine and team ids, which look like keys and are none.
 */
export function redact(text: string, known: ReadonlySet<string>, ids: ReadonlySet<string>): string {
  let clean = text;
  for (const secret of [...known].sort((a, b) => b.length - a.length)) clean = clean.replaceAll(secret, gone);
  for (const [pattern, by] of patterns) clean = clean.replace(pattern, by);
  return clean.replace(keyLike, (run) => (ids.has(run) || !looksRandom(run) ? run : gone));
}

/** Paths and words neither mix digits and capitals nor have 32 hex digits. */
function looksRandom(run: string): boolean {
  if (/^[0-9a-f]{32,}$/i.test(run)) return true;
  if (run.split('/').every((part) => part.length < 22)) return false;
  return /\d/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run);
}

/** Shorter values are words that stand in many places. */
const leastSecret = 6;

/** Every text in a structure that is long enough to be a secret. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.length >= leastSecret ? [value] : [];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** Values of an environment whose names say that they are secret. */
export function secretsInEnvironment(env: Readonly<Record<string, string | undefined>>): string[] {
  const named = new RegExp(`^${secretName}$`, 'i');
  return Object.entries(env).flatMap(([name, value]) => (named.test(name) && value ? textsIn(value) : []));
}
