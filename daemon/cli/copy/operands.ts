import { NiiaError } from '../../../shared/errors.ts';
import { shown } from '../../files/names.ts';
import type { Found } from '../../files/place.ts';

/** `M:PATH`, or a path of this computer where there is no colon before the first slash. */
export interface Operand {
  machine: string | undefined;
  path: Buffer;
}

const slash = 0x2f;

export function operand(word: Buffer, platform: NodeJS.Platform = process.platform): Operand {
  const colon = word.indexOf(':');
  const firstSlash = word.indexOf(slash);
  const drive = platform === 'win32' && colon === 1;
  if (colon < 0 || drive || (firstSlash >= 0 && firstSlash < colon)) {
    if (word.length === 0) throw new NiiaError('usage', 'an empty path names nothing');
    return { machine: undefined, path: word };
  }
  const machine = word.subarray(0, colon).toString();
  if (machine === '')
    throw new NiiaError(
      'usage',
      `${shown(word)}: no machine stands before the colon`,
      'As in: M:PATH, or ./:PATH for a file here.',
    );
  return { machine, path: word.subarray(colon + 1) };
}

/** Which way a copy goes. Throws `usage` unless exactly one side is on another machine. */
export function direction(words: readonly Buffer[]): {
  way: 'put' | 'get';
  machine: string;
  sources: Buffer[];
  target: Buffer;
} {
  const operands = words.map((word) => operand(word));
  const target = operands.at(-1);
  const sources = operands.slice(0, -1);
  if (!target || sources.length === 0)
    throw new NiiaError('usage', 'cp takes SRC and DST', 'As in: niia cp notes.txt M:notes.txt');
  const machines = new Set(sources.map(({ machine }) => machine));
  const [from] = machines;
  if (machines.size > 1)
    throw new NiiaError('usage', 'the sources are on different machines', 'Copy from one after the other.');
  if (from !== undefined && target.machine !== undefined) {
    throw new NiiaError(
      'usage',
      'one side of a copy is this machine',
      `Run it on one of them: niia remote ask ${from} "niia cp … ${target.machine}:…"`,
    );
  }
  const machine = from ?? target.machine;
  if (machine === undefined)
    throw new NiiaError('usage', 'neither side names a machine', 'M:PATH does; on one machine cp copies.');
  return {
    way: from === undefined ? 'put' : 'get',
    machine,
    sources: sources.map(({ path }) => path),
    target: target.path,
  };
}

export interface Source extends Found {
  /** As it was written, which is where its name comes from: a machine that it is on has no say in that. */
  written: Buffer;
}

/**
 * Where each source goes: a folder that is there, and a name in it. As cp and scp have it. Throws `usage` where that
 * cannot be.
 */
export function destination(
  sources: readonly Source[],
  target: Found & { written: Buffer },
): { into: Buffer; names: Buffer[] } {
  const { kind, path, written } = target;
  const [first] = sources;
  if (kind === 'other')
    throw new NiiaError('usage', `${shown(path)} is neither a file nor a folder, and is not replaced`);
  if (kind === 'folder' && !sources.some(contentsOnly)) {
    const names = sources.map((source) => named(lastWritten(source), source.written));
    const double = names.find((name, at) => names.findIndex((other) => other.equals(name)) !== at);
    if (double) throw new NiiaError('usage', `two sources would become ${shown(double)}`, 'Copy one after the other.');
    return { into: path, names };
  }
  if (sources.length > 1) {
    throw new NiiaError(
      'usage',
      `several sources need a folder to go to, and ${shown(path)} is ${kind === 'folder' ? 'merged into by dir/.' : 'none'}`,
    );
  }
  if (first?.kind === 'folder' && kind === 'file')
    throw new NiiaError('usage', `${shown(path)} is a file: a folder cannot take its place`);
  if (first?.kind === 'file' && kind === 'missing' && written.at(-1) === slash) {
    throw new NiiaError('usage', `there is no folder ${shown(path)}`, 'Make it first.');
  }
  return { into: above(path), names: [named(last(path), path)] };
}

/** Words that end in none but these name no source: they mean what is in it. */
const namesNothing = ['', '.', '..', '~'];

function contentsOnly(source: Source): boolean {
  return source.kind === 'folder' && namesNothing.includes(lastWritten(source).toString('latin1'));
}

function named(name: Buffer, path: Buffer): Buffer {
  if (namesNothing.includes(name.toString('latin1')))
    throw new NiiaError('usage', `${shown(path)} has no name to be copied under`);
  return name;
}

/** The last name of a source's word, slashes behind it aside. */
function lastWritten({ written }: Source): Buffer {
  let end = written.length;
  while (end > 0 && written[end - 1] === slash) end--;
  return last(written.subarray(0, end));
}

function last(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(slash) + 1);
}

function above(path: Buffer): Buffer {
  return path.subarray(0, Math.max(1, path.lastIndexOf(slash)));
}
