import * as v from 'valibot';
import { sessionStateSchema } from '../../../shared/protocol/shapes.ts';

/** The longest pattern; it is searched for in single rows of at most 400 characters. */
const pattern = v.pipe(v.string(), v.minLength(1), v.maxLength(300));

/**
 * Where a pattern must be found: in the title; in a row among the last N of the screen that are not empty (`bottom:N`);
 * in the cursor's row; in one of the N rows above or below it; in any row that is looked at.
 */
const where = v.pipe(
  v.string(),
  v.regex(
    /^(title|cursor|any|(bottom|above|below):([1-9]|[1-3]\d|40))$/,
    'where is title, cursor, any, bottom:N, above:N or below:N, with N from 1 to 40',
  ),
);

const conditionSchema = v.strictObject({ pattern, where });
export type Condition = v.InferOutput<typeof conditionSchema>;

const ruleSchema = v.strictObject({
  /** `codex.title-busy`: what `niia explain` and a failing test call it by. */
  id: v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$/, 'an id is like codex.title-busy')),
  /** What it relies on most, which decides how far it is trusted. */
  source: v.picklist(['title', 'screen']),
  state: v.pipe(
    sessionStateSchema,
    v.check((state) => state !== 'exited' && state !== 'unknown', 'a rule says starting, idle, busy or blocked'),
  ),
  pattern,
  where,
  /** All of these must be found as well. */
  and: v.optional(v.pipe(v.array(conditionSchema), v.maxLength(8)), []),
  /** None of these may be found. */
  not: v.optional(v.pipe(v.array(conditionSchema), v.maxLength(8)), []),
  /** It holds once title and screen have not changed for so long: what works, draws. */
  quietMs: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(60_000)), 0),
  /**
   * Of a rule that says idle: it goes before what the program itself says, that it works, once nothing has moved for so
   * long. For programs that are known to forget to take that back.
   */
  overrulesBusyMs: v.optional(v.pipe(v.number(), v.minValue(1000), v.maxValue(600_000))),
  /** Of several rules of one source that hold, the highest counts. */
  priority: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(100)), 50),
  confidence: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  /** Versions of the program that it was seen to hold for. */
  seenWith: v.optional(v.array(v.string()), []),
  /** In a user's file: the rule of this id is switched off. */
  disabled: v.optional(v.boolean(), false),
});
export type Rule = v.InferOutput<typeof ruleSchema>;

export const ruleFileSchema = v.strictObject({
  $comment: v.optional(v.string()),
  /** Which program it is about; a user's file of the same name adds to the one that niia brings. */
  name: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name is like codex')),
  /** How the program is recognised. */
  match: v.optional(
    v.strictObject({
      /** Names of its command, without folder and ending. */
      commands: v.optional(v.array(v.string()), []),
      /** What it calls itself in OSC 7501. */
      apps: v.optional(v.array(v.string()), []),
    }),
    {},
  ),
  /** In a user's file: nothing of what niia brings under this name is kept. */
  replace: v.optional(v.boolean(), false),
  rules: v.pipe(v.array(ruleSchema), v.maxLength(100)),
});
export type RuleFile = v.InferOutput<typeof ruleFileSchema>;

/** Checks the text of a rule file. Throws an error that names what is wrong and where. */
export function parseRuleFile(text: string): RuleFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const parsed = v.safeParse(ruleFileSchema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new Error(`${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`);
}
