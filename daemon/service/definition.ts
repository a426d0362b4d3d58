import { createHash } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';

/** What a service manager is to run, whichever it is. */
export interface ServiceDefinition {
  /** `niia` for the default home; `niia-` and a hash for another, so that each home has a service of its own. */
  name: string;
  /** Absolute path of the machine's home. */
  home: string;
  /** Program and arguments; the first is an absolute path. */
  command: readonly string[];
  environment: Readonly<Record<string, string>>;
}

export interface DefineOptions {
  home: string;
  defaultHome: string;
  /** The Node that runs the daemon, with its flags, and the product's entry point. */
  node: readonly string[];
  entry: string;
  /** The environment that the service is installed from. */
  env: NodeJS.ProcessEnv;
}

/**
 * A service manager starts programs with an environment of its own; what sessions and the network depend on is taken
 * along from the shell that installs: sessions would not find the user's programs, nor the daemon its proxy.
 */
const kept = ['PATH', 'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy', 'NIIA_LOG'];

/** Throws `usage` for a home or program that no service file can name. */
export function defineService({ home, defaultHome, node, entry, env }: DefineOptions): ServiceDefinition {
  const environment: Record<string, string> = { NIIA_HOME: home };
  for (const name of kept) {
    const value = env[name];
    if (value) environment[name] = value;
  }
  const command = [...node, entry, 'daemon'];
  for (const text of [...command, ...Object.values(environment)]) refuseControls(text);
  return { name: home === defaultHome ? 'niia' : `niia-${hashOf(home)}`, home, command, environment };
}

function hashOf(home: string): string {
  return createHash('sha256').update(home).digest('hex').slice(0, 12);
}

/** XML cannot hold control characters at all, and nobody has them in a path on purpose. */
function refuseControls(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  if (!/[\x00-\x1f\x7f]/.test(text)) return;
  throw new NiiaError(
    'usage',
    `a service cannot be made for ${JSON.stringify(text)}: it holds control characters`,
    'Use a home (NIIA_HOME) and a PATH without them.',
  );
}
