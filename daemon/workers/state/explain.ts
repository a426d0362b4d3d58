import type { SessionState } from '../../../shared/protocol/shapes.ts';
import type { Evidence, Setting } from './facts.ts';
import type { Judgement } from './judge.ts';
import type { RuleBook } from './rule-book.ts';
import type { StateTracker } from './tracker.ts';

export interface ExplainedRule {
  id: string;
  source: string;
  state: SessionState;
  fired: boolean;
  why: string;
  file: string | null;
  seenWith: string[];
}

export interface Explanation {
  judgement: Judgement;
  setting: Setting;
  foreground: string | null;
  title: string;
  rulesOf: string | null;
  quietMs: number | null;
  speaks: Evidence[];
  rules: ExplainedRule[];
  warnings: string[];
}

/** Why a session is taken to be in the state that it is: what fired, and what did not and why. */
export function explain(tracker: StateTracker, book: RuleBook, now: number): Explanation {
  const judgement = tracker.judge(now);
  const { setting, foreground, outputAt } = tracker.facts(now);
  const { profile, view } = tracker.looking;
  const fired = new Set(judgement.all.map(({ rule }) => rule));
  const ignored = new Map(judgement.ignored.map(({ rule, why }) => [rule, why]));
  const rules = (profile?.set.rules ?? []).map((compiled): ExplainedRule => {
    const { id, source, state, seenWith } = compiled.rule;
    const found = profile?.set.explain(compiled, view) ?? { why: '' };
    const why = 'why' in found ? found.why : (ignored.get(id) ?? `"${found.excerpt}"`);
    const file = compiled.own ? (profile?.from ?? null) : null;
    return { id, source, state, fired: fired.has(id), why, file, seenWith };
  });
  // What is built in has no file; it is told where it had something to say.
  const others = judgement.ignored.filter(({ rule }) => !rules.some(({ id }) => id === rule));
  const builtIn = others.map(({ rule, source, why }): ExplainedRule => {
    return { id: rule, source, state: 'unknown', fired: false, why, file: null, seenWith: [] };
  });
  return {
    judgement,
    setting,
    foreground: foreground?.names[0] ?? null,
    title: view.title,
    rulesOf: profile?.name ?? null,
    quietMs: outputAt === undefined ? null : Math.round(now - outputAt),
    speaks: judgement.all,
    rules: [...rules, ...builtIn],
    warnings: [...book.warnings],
  };
}
