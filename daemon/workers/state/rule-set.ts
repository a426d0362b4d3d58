import type { Found, RowPattern } from './row-pattern.ts';
import { boundedPattern, PatternTooSlow, trustedPattern } from './row-pattern.ts';
import type { Condition, Rule } from './rule-file.ts';

/** What rules look at. */
export interface View {
  title: string;
  /** The screen's lower rows as text, without empty ones below the last. */
  rows: readonly string[];
  /** The cursor's row among them; -1 where it is not. */
  cursor: number;
}

/** A rule that holds for a view. */
export interface Hit {
  rule: Rule;
  /** The title or row that it was found in. */
  excerpt: string;
}

export interface Compiled {
  rule: Rule;
  /** From the user's home, not from niia. */
  own: boolean;
  first: Test;
  and: Test[];
  not: Test[];
  /** Why it no longer counts: it takes too long. */
  broken: string | undefined;
  /** What it computed in vain since it last came to an end. Milliseconds. */
  spentMs: number;
}

interface Test {
  where: string;
  pattern: RowPattern;
}

/** A rule that computed so long without an end is switched off; on a busy machine that takes several tries. */
const mostSpentMs = 45;
/** Rows are searched up to here, whatever the terminal's width. Characters. */
const longestRow = 400;

/** Rules of one program, ready to be asked. Pure but for a rule that is switched off when it takes too long. */
export class RuleSet {
  readonly name: string;
  readonly rules: readonly Compiled[];
  /** Called when a rule is switched off. */
  onBroken: (rule: Rule, why: string) => void = () => undefined;
  /** A rule could not be asked to its end: it is worth asking again soon. */
  unsure = false;

  constructor(name: string, rules: readonly Compiled[]) {
    this.name = name;
    this.rules = [...rules].sort((a, b) => b.rule.priority - a.rule.priority || b.rule.confidence - a.rule.confidence);
  }

  /** The rules that hold, the most important first. Those that ask for quiet are among them: the judge waits for it. */
  match(view: View): Hit[] {
    const hits: Hit[] = [];
    this.unsure = false;
    const clipped = clip(view);
    for (const compiled of this.rules) {
      const outcome = this.#try(compiled, clipped);
      if (typeof outcome === 'object') hits.push({ rule: compiled.rule, excerpt: outcome.text });
    }
    return hits;
  }

  /** For one rule: what it was found in, or why it does not hold. */
  explain(compiled: Compiled, view: View): { excerpt: string } | { why: string } {
    const outcome = this.#try(compiled, clip(view));
    return typeof outcome === 'object' ? { excerpt: outcome.text } : { why: outcome };
  }

  #try(compiled: Compiled, view: View): { text: string } | string {
    if (compiled.rule.disabled) return 'it is switched off in its file';
    if (compiled.broken !== undefined) return compiled.broken;
    try {
      const outcome = holds(compiled, view);
      compiled.spentMs = 0;
      return outcome;
    } catch (error) {
      if (!(error instanceof PatternTooSlow)) throw error;
      this.unsure = true;
      compiled.spentMs += error.computedMs;
      if (compiled.spentMs < mostSpentMs) return error.message;
      compiled.broken = `switched off: ${error.message}`;
      this.onBroken(compiled.rule, error.message);
      return compiled.broken;
    }
  }
}

/** Throws where a pattern is no regular expression. */
export function compileRule(rule: Rule, own: boolean): Compiled {
  const test = ({ pattern, where }: Condition): Test => {
    try {
      return { where, pattern: own ? boundedPattern(pattern) : trustedPattern(pattern) };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`rule ${rule.id}: ${why}`, { cause });
    }
  };
  return {
    rule,
    own,
    first: test(rule),
    and: rule.and.map(test),
    not: rule.not.map(test),
    broken: undefined,
    spentMs: 0,
  };
}

function holds({ first, and, not }: Compiled, view: View): { text: string } | string {
  const found = search(first, view);
  if (!found) return `nothing in ${first.where} matches /${first.pattern.source}/`;
  for (const test of and) {
    if (!search(test, view)) return `nothing in ${test.where} matches /${test.pattern.source}/ as well`;
  }
  for (const test of not) {
    const against = search(test, view);
    if (against) return `"${against.row.trim()}" in ${test.where} speaks against it`;
  }
  return { text: found.row.trim() };
}

function search({ where, pattern }: Test, view: View): (Found & { row: string }) | undefined {
  const rows = rowsAt(where, view);
  const found = pattern.find(rows);
  return found && { ...found, row: rows[found.index] ?? '' };
}

function rowsAt(where: string, { title, rows, cursor }: View): readonly string[] {
  const [place, count = '0'] = where.split(':');
  const many = Number(count);
  switch (place) {
    case 'title':
      return [title];
    case 'bottom':
      return rows.filter((row) => row.trim() !== '').slice(-many);
    case 'cursor':
      return cursor < 0 ? [] : rows.slice(cursor, cursor + 1);
    case 'above':
      return cursor < 0 ? [] : rows.slice(Math.max(0, cursor - many), cursor);
    case 'below':
      return cursor < 0 ? [] : rows.slice(cursor + 1, cursor + 1 + many);
    default:
      return rows;
  }
}

function clip(view: View): View {
  if (view.rows.every((row) => row.length <= longestRow)) return view;
  return { ...view, rows: view.rows.map((row) => row.slice(0, longestRow)) };
}
