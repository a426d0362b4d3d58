import * as v from 'valibot';
import type { ConnectorFile } from './file-schema.ts';
import { fileSchema } from './file-schema.ts';
import type { Problems } from './problems.ts';
import type { Path } from './source.ts';

/** As many unknown keys as anybody would read of. */
const maxUnknownKeys = 50;

/** The file of the right form; undefined where it is not, with all that is wrong among the problems. */
export function checkFile(value: unknown, problems: Problems): ConnectorFile | undefined {
  for (let unknown = 0; ; unknown++) {
    const parsed = v.safeParse(fileSchema, value);
    if (parsed.success) return problems.any ? undefined : parsed.output;
    for (const issue of parsed.issues) tell(issue, [], problems);
    // The schema names one unknown key of each object: without those, it would name the next.
    if (!parsed.issues.map(withoutIts).some(Boolean) || unknown >= maxUnknownKeys) return undefined;
  }
}

function tell(issue: v.BaseIssue<unknown>, above: Path, problems: Problems): void {
  const path = [...above, ...(issue.path ?? []).map(({ key }) => key as string | number)];
  const inner = innermost(issue);
  if (inner.length > 0) {
    for (const sub of inner) tell(sub, path, problems);
  } else if (isUnknownKey(issue)) {
    problems.at(path, issue.message, 'key');
  } else {
    problems.at(path, issue.kind === 'schema' && !ownWords.has(issue.type) ? typeText(issue) : issue.message);
  }
}

/** Schemas of the file that word their issues themselves. */
const ownWords = new Set(['strict_object', 'record', 'literal']);

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

/** Of a value that may be of several kinds: the issues of the kind that it is of; empty where it is of none. */
function innermost(issue: v.BaseIssue<unknown>): readonly v.BaseIssue<unknown>[] {
  if (issue.type !== 'union') return [];
  const subs = issue.issues ?? [];
  return subs.filter((sub) => sub.path !== undefined || sub.kind === 'validation' || sub.type === 'literal');
}

/** Removes the unknown key that an issue is about; whether it was about one. */
function withoutIts(issue: v.BaseIssue<unknown>): boolean {
  const inner = innermost(issue);
  if (inner.length > 0) return inner.map(withoutIts).some(Boolean);
  const last = issue.path?.at(-1);
  if (!isUnknownKey(issue) || last?.type !== 'object') return false;
  return Reflect.deleteProperty(last.input as object, last.key as string);
}

function typeText({ expected, received }: v.BaseIssue<unknown>): string {
  const kinds = (expected ?? 'something else').replace(/^\((.*)\)$/, '$1').split(' | ');
  return `must be ${[...new Set(kinds.map((kind) => words[kind] ?? kind))].join(' or ')}, not ${words[received] ?? received}`;
}

const words: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
  Array: 'a list',
  Object: 'an object',
  null: 'null',
  undefined: 'nothing',
};
