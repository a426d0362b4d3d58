import type { RuleFile } from './rule-file.ts';
import { parseRuleFile } from './rule-file.ts';
import type { Compiled } from './rule-set.ts';
import { compileRule, RuleSet } from './rule-set.ts';

/** The rules about one program, from niia and from the user. */
export interface Profile {
  name: string;
  commands: readonly string[];
  apps: readonly string[];
  set: RuleSet;
  /** The user's file that had a part in it. */
  from: string | undefined;
}

/** A user's rule file: its path and what it says. */
export interface OwnFile {
  path: string;
  text: string;
}

/** All rules that are in force. A file that is wrong is told as a warning; the others count. */
export class RuleBook {
  readonly profiles: readonly Profile[];
  readonly warnings: readonly string[];

  /** `unreadable`: warnings about files that could not even be read. */
  constructor(builtIn: readonly RuleFile[], own: readonly OwnFile[] = [], unreadable: readonly string[] = []) {
    const warnings = [...unreadable];
    const profiles = new Map(builtIn.map((file) => [file.name, build(file, undefined, undefined)]));
    for (const { path, text } of own) {
      try {
        const file = parseRuleFile(text);
        profiles.set(file.name, build(file, path, profiles.get(file.name)));
      } catch (error) {
        warnings.push(`${path} is left out: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    this.profiles = [...profiles.values()];
    this.warnings = warnings;
  }

  named(name: string): Profile | undefined {
    return this.profiles.find((profile) => profile.name === name);
  }

  /** By any of a program's names. */
  forCommand(names: readonly string[]): Profile | undefined {
    return this.profiles.find((profile) => names.some((name) => profile.commands.includes(name)));
  }

  /** By what a program calls itself. */
  forApp(app: string): Profile | undefined {
    return app === '' ? undefined : this.profiles.find((profile) => profile.apps.includes(app));
  }
}

function build(file: RuleFile, path: string | undefined, before: Profile | undefined): Profile {
  const own = path !== undefined;
  const kept = before && !file.replace ? before : undefined;
  const rules = new Map<string, Compiled>(kept?.set.rules.map((compiled) => [compiled.rule.id, compiled]) ?? []);
  const seen = new Set<string>();
  for (const rule of file.rules) {
    if (seen.has(rule.id)) throw new Error(`two rules have the id ${rule.id}`);
    seen.add(rule.id);
    rules.set(rule.id, compileRule(rule, own));
  }
  return {
    name: file.name,
    commands: [...(kept?.commands ?? []), ...(file.match.commands ?? [])],
    apps: [...(kept?.apps ?? []), ...(file.match.apps ?? [])],
    set: new RuleSet(file.name, [...rules.values()]),
    from: path ?? kept?.from,
  };
}
