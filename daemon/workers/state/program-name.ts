/** Programs that only start another one, whose name is what counts. */
const launchers = new Set(
  'node nodejs bun deno npx npm pnpm yarn bunx pnpx uvx uv pipx env sudo doas nice ionice nohup time stdbuf setsid exec python python3 sh bash dash'.split(
    ' ',
  ),
);
/** Words of a launcher before the program's name. */
const launcherWords = new Set(['exec', 'run', 'dlx', 'x', 'tool', '--']);
const shells = new Set('sh bash zsh fish dash ash ksh mksh csh tcsh nu elvish xonsh pwsh'.split(' '));
/** Options of shells that take the next word. */
const shellOptionsWithValue = new Set(['--rcfile', '--init-file', '-o', '+o', '-O', '+O']);
const mostWords = 12;

/**
 * What a command line's program may be called: the file's name without ending, and the name of the npm package that it
 * lies in. `node /x/node_modules/@google/gemini-cli/bundle/gemini.js` is `gemini` and `gemini-cli`.
 */
export function programNames(argv: readonly string[]): string[] {
  // A process that names itself has one word: `npm exec codex`.
  const words = argv.length === 1 ? (argv[0] ?? '').split(' ') : argv;
  for (const [index, word] of words.slice(0, mostWords).entries()) {
    if (index > 0 && (word.startsWith('-') || launcherWords.has(word) || /^\w+=/.test(word))) continue;
    const name = baseName(word);
    if (launchers.has(name) && index < words.length - 1) continue;
    return [...new Set([name, packageOf(word) ?? name])];
  }
  return [baseName(words[0] ?? '')];
}

/** Whether a command line is a shell at whose prompt somebody types: one without a script or command of its own. */
export function isInteractiveShell(argv: readonly string[]): boolean {
  if (!shells.has(baseName(argv[0] ?? ''))) return false;
  for (let index = 1; index < argv.length; index++) {
    const word = argv[index] ?? '';
    if (shellOptionsWithValue.has(word)) index++;
    else if (!/^[-+]/.test(word) || /^-\w*c/.test(word)) return false;
  }
  return true;
}

export function isShellName(name: string): boolean {
  return shells.has(baseName(name));
}

function baseName(word: string): string {
  // A login shell's name begins with a dash; a package may have a scope and a version.
  const file = word.replace(/^-/, '').split(/[/\\]/).at(-1) ?? '';
  return file
    .replace(/(?<=.)@[\w.^~-]+$/, '')
    .replace(/\.(exe|cmd|[cm]?js|ts|py)$/i, '')
    .toLowerCase();
}

function packageOf(path: string): string | undefined {
  return /.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?([^/\\]+)[/\\]/.exec(path)?.[1]?.toLowerCase();
}
