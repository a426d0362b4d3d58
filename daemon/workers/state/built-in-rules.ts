import * as v from 'valibot';
import claude from '../rules/claude.json' with { type: 'json' };
import codex from '../rules/codex.json' with { type: 'json' };
import gemini from '../rules/gemini.json' with { type: 'json' };
import shell from '../rules/shell.json' with { type: 'json' };
import type { RuleFile } from './rule-file.ts';
import { ruleFileSchema } from './rule-file.ts';

/** The rules that niia brings. */
export function builtInRules(): RuleFile[] {
  return [claude, codex, gemini, shell].map((file) => v.parse(ruleFileSchema, file));
}
