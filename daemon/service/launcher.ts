/** The service's program: stays where it is while upgrades and installs come and go. */
export const launcherName = 'service.mjs';

/**
 * A module that runs the installation that the machine's daemon was last started from or upgraded to, as
 * `versions/current.json` beside it names it; `entry` where that is gone. It stands alone, and chooses as
 * `inForce` of process/installation.ts does: an upgrade that is undecided counts while its supervisor works.
 */
export function launcher(entry: string): string {
  return `// Made by niia service install: runs the niia that this machine was last started with or upgraded to.
import { readFileSync, statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const text = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');

/** Whether an upgrade's supervisor works: the process that its lock names, and not a later one with the same id. */
function isSupervised() {
  try {
    const { pid, started } = JSON.parse(text('./upgrade.lock'));
    process.kill(pid, 0);
    if (process.platform !== 'linux') return true;
    const stat = text(\`/proc/\${pid}/stat\`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return started === \`\${fields[19]}@\${text('/proc/sys/kernel/random/boot_id').trim()}\`;
  } catch {
    return false;
  }
}

let entry = ${JSON.stringify(entry)};
try {
  const { pending, previous, ...current } = JSON.parse(text('./versions/current.json'));
  const named = (pending && previous && !isSupervised() ? previous : current).entry;
  if (statSync(named).isFile()) entry = named;
} catch (error) {
  // No pointer, a damaged one, or one to what is gone: what installed the service runs.
  process.stderr.write(\`niia service: \${error}; running \${entry}\\n\`);
}
await import(pathToFileURL(entry).href);
`;
}
