import type { SessionState } from '../../../shared/protocol/shapes.ts';
import type { Evidence, Facts, Source } from './facts.ts';
import { sources } from './facts.ts';

/** A shell that was quiet for so long, and is in the foreground, waits at its prompt. */
export const quietMs = 300;
/** More output than this in one go is no echo of what somebody types. */
const echoBytes = 2048;
/** A program that has not said anything by then is not starting: nothing is known of it. */
const startsWithinMs = 30_000;

export interface Judgement {
  state: SessionState;
  /** What decided; undefined where nothing did. */
  evidence: Evidence | undefined;
  /** The same for people. */
  why: string;
  /** All that speaks for a state, the most trusted first. */
  all: Evidence[];
  /** What does not count, and why. */
  ignored: Array<{ source: Source; rule: string; why: string }>;
  /** Without anything new, the judgement may change at this time. */
  again: number | undefined;
}

/** What a live session is doing: of what is known, the most trusted decides, but `blocked` always wins. */
export function judge(facts: Facts): Judgement {
  const bench = new Bench(facts);
  bench.hear();
  const all = bench.all.sort((a, b) => sources.indexOf(a.source) - sources.indexOf(b.source));
  const evidence = all.find((one) => one.state === 'blocked') ?? all[0];
  const { ignored } = bench;
  if (evidence) {
    const why = `${evidence.rule}: ${evidence.excerpt}`;
    return { state: evidence.state, evidence, why, all, ignored, again: bench.again };
  }
  const silentUntil = facts.startedAt + startsWithinMs;
  if (facts.outputAt === undefined && facts.now < silentUntil) {
    const again = Math.min(bench.again ?? silentUntil, silentUntil);
    return { state: 'starting', evidence, why: 'no output yet', all, ignored, again };
  }
  return { state: 'unknown', evidence, why: 'no evidence', all, ignored, again: bench.again };
}

class Bench {
  readonly all: Evidence[] = [];
  readonly ignored: Judgement['ignored'] = [];
  again: number | undefined;
  readonly #facts: Facts;

  constructor(facts: Facts) {
    this.#facts = facts;
  }

  hear(): void {
    this.#hearProgram();
    this.#hearMark();
    this.#hearRules();
    this.#hearForeground();
    // Last: what came after a report may speak against it.
    this.#hearReport();
  }

  #hearProgram(): void {
    const { status } = this.#facts;
    if (!status) return;
    const { state, app, kind, message, at } = status;
    const rule = 'osc7501';
    const overruled = state === 'busy' && this.#overrules();
    if (overruled) {
      this.#ignore('program', rule, `${overruled} has held, with nothing moving, for longer than that needs`);
      return;
    }
    const told = [`${app || 'the program'} says ${state}`, kind && `(${kind})`, message && `"${message}"`];
    this.#take({ state, source: 'program', rule, excerpt: told.filter(Boolean).join(' '), confidence: 0.99, at });
  }

  /** The rule by which a program that says it works has only forgotten to take that back. */
  #overrules(): string | undefined {
    const { hits, viewAt, outputAt = 0, now } = this.#facts;
    const ready = hits.find(({ rule }) => rule.overrulesBusyMs !== undefined);
    if (ready?.rule.overrulesBusyMs === undefined || hits.some(({ rule }) => rule.state !== 'idle')) return undefined;
    const at = Math.max(ready.at, viewAt, outputAt) + ready.rule.overrulesBusyMs;
    if (now < at) this.#lookAgain(at);
    return now >= at ? ready.rule.id : undefined;
  }

  #hearMark(): void {
    const { mark, setting, foreground } = this.#facts;
    if (!mark) return;
    const rule = `shell-mark.${mark.mark}`;
    if (setting === 'program') {
      this.#ignore('shell', rule, 'it is about the shell, and a program is in the foreground');
      return;
    }
    // A prompt that was drawn before the program came to the foreground says nothing of that.
    if (setting === 'command' && (mark.mark !== 'running' ? mark.at <= (foreground?.at ?? 0) : this.#unknownScreen)) {
      this.#ignore('shell', rule, 'the program in the foreground says nothing of itself');
      return;
    }
    const code = mark.exitCode === undefined ? '' : ` with exit code ${mark.exitCode}`;
    const excerpt = {
      prompt: 'the shell shows its prompt',
      running: 'the shell runs a command',
      finished: `the shell's command ended${code}`,
    }[mark.mark];
    const state = mark.mark === 'running' ? 'busy' : 'idle';
    this.#take({ state, source: 'shell', rule, excerpt, confidence: 0.95, at: mark.at });
  }

  #hearRules(): void {
    const { hits, viewAt, now } = this.#facts;
    const taken = new Set<Source>();
    for (const { rule, excerpt, at } of hits) {
      const { id, state, source, confidence } = rule;
      const quietAt = Math.max(viewAt, at) + rule.quietMs;
      if (rule.quietMs > 0 && now < quietAt) {
        this.#ignore(source, id, `it needs ${rule.quietMs} ms without a change`);
        this.#lookAgain(quietAt);
      } else if (taken.has(source) && state !== 'blocked') {
        this.#ignore(source, id, 'a rule of higher priority holds');
      } else {
        taken.add(source);
        this.#take({
          state,
          source,
          rule: id,
          excerpt: `"${excerpt}"`,
          confidence,
          at: rule.quietMs > 0 ? quietAt : at,
        });
      }
    }
  }

  #hearForeground(): void {
    const { foreground, setting } = this.#facts;
    if (!foreground) return;
    const [name = 'a program'] = foreground.names;
    if (setting === 'shell') {
      this.#hearPrompt(name, foreground.running);
    } else if (setting === 'command') {
      const rule = 'foreground.command';
      if (this.#unknownScreen)
        this.#ignore('foreground', rule, `nothing is known of ${name}, which draws its own screen`);
      else {
        const excerpt = `${name} is in the foreground of the shell`;
        this.#take({ state: 'busy', source: 'foreground', rule, excerpt, confidence: 0.6, at: foreground.at });
      }
    }
  }

  /** A shell without integration: its line editor reads, or it is quiet. */
  #hearPrompt(name: string, running: boolean): void {
    const { prompt, outputAt, now, foreground } = this.#facts;
    if (outputAt === undefined) return;
    const since = foreground?.at ?? outputAt;
    const take = (state: 'idle' | 'busy', rule: string, excerpt: string, confidence: number, at: number) =>
      this.#take({ state, source: 'foreground', rule: `foreground.${rule}`, excerpt, confidence, at });
    if (prompt.editing !== undefined) {
      if (prompt.editing) take('idle', 'prompt', `${name} reads a line at its prompt`, 0.8, since);
      else take('busy', 'builtin', `${name} is in the foreground and does not read a line`, 0.6, since);
      return;
    }
    const quietAt = outputAt + quietMs;
    if (now < quietAt) this.#lookAgain(quietAt);
    if (running) take('busy', 'builtin', `${name} itself is running`, 0.5, since);
    else if (now >= quietAt) take('idle', 'quiet', `${name} is in the foreground and quiet`, 0.5, quietAt);
    else if (prompt.burst > echoBytes) take('busy', 'output', `${name} writes`, 0.4, since);
    else if (prompt.before) take(prompt.before, 'echo', `${name} wrote a little`, 0.4, since);
  }

  #hearReport(): void {
    const { report } = this.#facts;
    if (!report) return;
    const newer = this.all.find(
      ({ source, state, at }) =>
        (source === 'title' || source === 'screen') && state !== report.state && at > report.at,
    );
    if (newer) {
      this.#ignore('report', 'report', `${newer.rule} is newer and says ${newer.state}`);
      return;
    }
    const { state, message, at } = report;
    const excerpt = `it was reported ${state} from inside${message && `: "${message}"`}`;
    this.#take({ state, source: 'report', rule: 'report', excerpt, confidence: 0.9, at });
  }

  get #unknownScreen(): boolean {
    return this.#facts.setting === 'command' && this.#facts.fullScreen;
  }

  #take(evidence: Evidence): void {
    this.all.push(evidence);
  }

  #ignore(source: Source, rule: string, why: string): void {
    this.ignored.push({ source, rule, why });
  }

  #lookAgain(at: number): void {
    this.again = Math.min(this.again ?? at, at);
  }
}
