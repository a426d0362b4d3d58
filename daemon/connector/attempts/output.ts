import { lstatSync, realpathSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { relative, resolve, sep } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import type { OutputRule, OutputValue } from '../../../shared/connector/definition.ts';
import { isErrno } from '../../home/files.ts';
import { AttemptFailure } from './failure.ts';

/** More files than this are no output to hand on by name. */
const mostFiles = 1000;

/** What a worker brought, as its rule wants it; `answer` is what it said. Throws `output_invalid`. */
export async function collectOutput(rule: OutputRule, cwd: string, answer: Uint8Array): Promise<OutputValue> {
  const bytes = rule.file === null ? answer : await contentOf(rule.file, cwd, rule.maxBytes);
  if (bytes.length > rule.maxBytes) throw tooLong(rule.maxBytes);
  const text = Buffer.from(bytes).toString('utf8');
  return {
    text,
    json: rule.json === null ? null : await jsonOf(text, rule.json),
    files: await filesOf(rule.files, cwd),
  };
}

/** The checker of schemas is large: a daemon that never needs it does without. */
async function jsonOf(text: string, schema: NonNullable<OutputRule['json']>): Promise<unknown> {
  const { jsonIn } = await import('./json-output.ts');
  return jsonIn(text, schema);
}

async function contentOf(name: string, cwd: string, most: number): Promise<Buffer> {
  const path = insideOf(cwd, name);
  if (path === undefined) throw new AttemptFailure('output_invalid', `its output, the file ${name}, is not there`);
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > most) throw tooLong(most);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new AttemptFailure('output_invalid', `its output, the file ${name}, cannot be read: ${error}`);
  }
}

/** Names relative to `cwd`, in order; each of the patterns must stand for something. */
async function filesOf(patterns: readonly string[], cwd: string): Promise<string[]> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const names = isDynamicPattern(pattern) ? await matching(pattern, cwd) : [pattern];
    const inside = names.flatMap((name) => {
      const path = insideOf(cwd, name);
      return path === undefined ? [] : [relative(realpathSync(cwd), path).replaceAll(sep, '/')];
    });
    if (inside.length === 0) throw new AttemptFailure('output_invalid', `there is no output file ${pattern}`);
    for (const name of inside) found.add(name);
    if (found.size > mostFiles) throw new AttemptFailure('output_invalid', `over ${mostFiles} files match ${pattern}`);
  }
  return [...found].sort();
}

async function matching(pattern: string, cwd: string): Promise<string[]> {
  const options = { cwd, dot: true, followSymbolicLinks: false, expandDirectories: false };
  return await glob(pattern, {
    ...options,
    ignore: ['**/.git/**', ...(pattern.includes('node_modules') ? [] : ['**/node_modules/**'])],
  });
}

/** The file's path, where it is one in the folder: neither its name nor a link leads anywhere else. */
function insideOf(cwd: string, name: string): string | undefined {
  const root = realpathSync(cwd);
  const path = resolve(root, name);
  if (!path.startsWith(root + sep)) return undefined;
  try {
    const real = realpathSync(path);
    return real === path && lstatSync(real).isFile() ? real : undefined;
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

function tooLong(most: number): AttemptFailure {
  return new AttemptFailure('output_invalid', `its output has more than ${most} bytes`);
}
