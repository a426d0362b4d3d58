import type { AskedOption, AskedQuestion } from './driver.ts';

export interface ChoiceStyle {
  /** Finds an option in a row; groups: `mark` (set where it is selected), `number`, `label`. */
  option: RegExp;
  /** Takes a frame off a row. */
  bare: (row: string) => string;
  /** Rows above the options belong to the question as far up as this one is not met. */
  top: RegExp;
  /** Finds the command in the rows of the question. */
  command: (rows: readonly string[]) => string | null;
}

/** A list of numbered options, one of which is selected, with the question above it: how AI CLIs ask. */
export function numberedChoice(rows: readonly string[], style: ChoiceStyle): AskedQuestion | undefined {
  const bare = rows.map(style.bare);
  const last = bare.findLastIndex((row) => style.option.test(row));
  if (last < 0) return undefined;
  const options: AskedOption[] = [];
  let first = last;
  for (let y = last; y >= 0; y--) {
    const groups = style.option.exec(bare[y] ?? '')?.groups;
    if (!groups) {
      // A long label goes on in the rows below its number.
      if (options.length > 0 && /^\s{4,}\S/.test(bare[y] ?? '') && (options[0]?.number ?? 0) > 1) continue;
      break;
    }
    first = y;
    const more: string[] = [];
    for (let below = y + 1; below < bare.length && !style.option.test(bare[below] ?? ''); below++) {
      const rest = bare[below] ?? '';
      if (!/^\s{4,}\S/.test(rest)) break;
      more.push(rest.trim());
    }
    const number = Number(groups['number']);
    const label = [groups['label'] ?? '', ...more].join(' ').trim();
    options.unshift({ number, label, means: null, selected: Boolean(groups['mark']?.trim()), keys: String(number) });
    if (number === 1) break;
  }
  if (options[0]?.number !== 1 || !options.some((option) => option.selected)) return undefined;
  if (options.some(({ number }, index) => number !== index + 1)) return undefined;
  let top = first;
  while (top > 0 && !style.top.test(bare[top - 1] ?? '')) top--;
  const above = bare.slice(top, first);
  return {
    question: tidy(above),
    command: style.command(above),
    top,
    options: options.map((option) => ({ ...option, means: meaning(option.label) })),
  };
}

/** What an option's words mean; null where they are not plain. */
export function meaning(label: string): AskedOption['means'] {
  if (/^(no|deny|reject|cancel|don't|do not)\b/i.test(label)) return 'deny';
  if (!/^(yes|allow|approve|proceed|accept)\b/i.test(label)) return null;
  if (/\b(always|and|don't ask|do not ask|session|project|future|all|any|every|mode)\b/i.test(label))
    return 'allow-always';
  return 'allow';
}

function tidy(rows: readonly string[]): string {
  return rows
    .map((row) => row.replace(/^[\s│]+|[\s│]+$/g, ''))
    .filter((row) => row !== '' && !/^[─━╌╭╰│╮╯\s]+$/.test(row))
    .join('\n');
}

/** Finds the option that a person named: its number, the start of its label, or what it means. */
export function chosen(options: readonly AskedOption[], wanted: string): AskedOption | undefined {
  const text = wanted.trim().toLowerCase();
  if (/^\d+$/.test(text)) return options.find(({ number }) => number === Number(text));
  const means = { allow: 'allow', yes: 'allow', deny: 'deny', no: 'deny', 'allow-always': 'allow-always' }[text];
  const alike = means ? options.filter((option) => option.means === means) : [];
  if (alike.length > 0) return alike.length === 1 ? alike[0] : undefined;
  const begins = options.filter(({ label }) => label.toLowerCase().startsWith(text));
  return begins.length === 1 ? begins[0] : undefined;
}
