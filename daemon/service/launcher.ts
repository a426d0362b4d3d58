/** The service's program: stays where it is while upgrades and installs come and go. */
export const launcherName = 'service.mjs';

/**
 * A module that runs the installation that the machine's daemon was last started from or upgraded to, as
 * `versions/current.json` beside it names it (process/installation.ts); `entry` where that is gone.
 */
export function launcher(entry: string): string {
  return `// Made by niia service install: runs the niia that this machine was last started with or upgraded to.
import { readFileSync, statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

let entry = ${JSON.stringify(entry)};
try {
  const named = JSON.parse(readFileSync(new URL('./versions/current.json', import.meta.url), 'utf8')).entry;
  if (statSync(named).isFile()) entry = named;
} catch (error) {
  // No pointer, a damaged one, or one to what is gone: what installed the service runs.
  process.stderr.write(\`niia service: \${error}; running \${entry}\\n\`);
}
await import(pathToFileURL(entry).href);
`;
}
