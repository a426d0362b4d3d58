import type { SessionState } from '../../../shared/protocol/shapes.ts';
import { ControlScanner } from './control-scanner.ts';
import type { Facts, Foreground, PromptFacts, Report, Setting, Told } from './facts.ts';
import type { Judgement } from './judge.ts';
import { judge, quietMs } from './judge.ts';
import { LookSchedule } from './look-schedule.ts';
import { isInteractiveShell, programNames } from './program-name.ts';
import type { ProgramStatus, ShellMark } from './program-status.ts';
import { parseCommand } from './program-status.ts';
import type { Profile, RuleBook } from './rule-book.ts';
import type { Hit, View } from './rule-set.ts';

/** A screen is drawn in pieces: what a rule saw counts for so long after it is gone, unless another rule holds. */
const redrawMs = 30;
const askAgainMs = 100;
/** A program may have said something before it was seen in the foreground, this long at most. */
const newcomerMs = 100;
const alternateScreens = new Set([47, 1047, 1049]);
const bracketedPaste = 2004;

export interface TrackerOptions {
  /** The command that the session was started with. */
  argv: readonly string[];
  /** The name of the rules that its starter asked for. */
  worker: string | undefined;
  book: RuleBook;
  now: number;
  /** Whose turn it is in the terminal, as the system tells; undefined where it does not. */
  foreground: () => Foreground | undefined;
  /** The program asks whether anybody reads its status (OSC 7501). */
  asked: () => void;
}

/** When the session was last seen in a state, however short that was. */
export interface Seen {
  at: number;
  /** Offset in the output. */
  offset: number;
}

/**
 * What one live session is doing. Fed with what happens and the time; it has neither a clock nor a timer. Times are
 * milliseconds of a clock that only runs forward.
 */
export class StateTracker {
  readonly #options: TrackerOptions;
  readonly #scanner: ControlScanner;
  readonly #rootShell: boolean;
  readonly #looks: LookSchedule;
  #book: RuleBook;
  #now: number;
  #offset = 0;
  #outputAt: number | undefined;
  #foreground: Told<Foreground> | undefined;
  #status: (Told<ProgramStatus> & Speaker) | undefined;
  #mark: Told<ShellMark> | undefined;
  #report: (Told<Report> & Speaker) | undefined;
  #view: View = { title: '', rows: [], cursor: -1 };
  #viewAt: number;
  #hits: Array<Told<Hit> & { goneAt: number | undefined }> = [];
  #matched: Profile | undefined;
  #viewChanged = false;
  /** When rules that could not be asked to their end are asked again. */
  #askAgainAt: number | undefined;
  #modes = { alternate: false, paste: false };
  #prompt: PromptFacts = { editing: undefined, burst: 0, before: undefined };
  #changed = true;
  readonly #seen = new Map<SessionState, Seen>();

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#book = options.book;
    this.#now = options.now;
    this.#viewAt = options.now;
    this.#rootShell = isInteractiveShell(options.argv);
    this.#looks = new LookSchedule(this.#rootShell);
    this.#scanner = new ControlScanner({
      command: (payload) => this.#command(payload),
      mode: (mode, on) => this.#mode(mode, on),
    });
  }

  /** Whether the program has switched bracketed paste on. */
  get bracketedPaste(): boolean {
    return this.#modes.paste;
  }

  get title(): string {
    return this.#view.title;
  }

  /** Whether rules want to see the screen. */
  get wantsRows(): boolean {
    return this.#rules() !== undefined;
  }

  /** When the session was last seen in `state`: also a state that ended before anybody could be told. */
  seen(state: SessionState): Seen | undefined {
    return this.#seen.get(state);
  }

  /** Something happened since the last judgement that may change it. */
  get changed(): boolean {
    return this.#changed;
  }

  /** When it shall be judged, though nothing happens; undefined: never. */
  get due(): number | undefined {
    return this.#looks.next;
  }

  /** Output that ends at `offset`. */
  heard(bytes: Uint8Array, offset: number, now: number): void {
    const quiet = this.#outputAt === undefined || now - this.#outputAt >= quietMs;
    this.#now = now;
    this.#offset = offset;
    if (quiet) {
      this.#prompt.burst = 0;
      this.#looks.activity(now);
      this.#changed = true;
    }
    this.#prompt.burst += bytes.length;
    this.#outputAt = now;
    this.#looks.output(now);
    this.#scanner.add(bytes);
  }

  /** Somebody or something typed into it. */
  typed(now: number): void {
    this.#looks.activity(now);
  }

  /** The screen's lower rows, and which of them has the cursor (-1: none). */
  rows(rows: readonly string[], cursor: number, now: number): void {
    this.#now = now;
    this.#view = { title: this.#view.title, rows, cursor };
    this.#viewMoved(now);
  }

  /** A program inside reported its state; undefined takes the last report back. */
  reported(report: Report | undefined, now: number): void {
    this.#look(now);
    this.#report = report && { ...report, at: now, ...this.#speaker };
    this.#changed = true;
    if (report) this.#note(report.state, now);
  }

  /** Other rules are in force. */
  rulesChanged(book: RuleBook): void {
    this.#book = book;
    this.#viewChanged = true;
    this.#changed = true;
  }

  /** What it is doing now. Looks at what is due to be looked at. */
  judge(now: number): Judgement {
    this.#now = now;
    if (this.#looks.due(now)) this.#look(now);
    this.#match(now);
    const judgement = judge(this.facts(now));
    this.#changed = false;
    this.#note(judgement.state, now);
    const { evidence, state } = judgement;
    if (evidence?.rule !== 'foreground.echo') {
      this.#prompt.before =
        evidence?.source === 'foreground' && (state === 'idle' || state === 'busy') ? state : undefined;
    }
    return { ...judgement, again: this.#again(judgement.again) };
  }

  facts(now: number): Facts {
    const { setting, profile } = this.#setting();
    return {
      now,
      startedAt: this.#options.now,
      outputAt: this.#outputAt,
      setting,
      profile,
      foreground: this.#foreground,
      status: this.#status,
      mark: this.#mark,
      report: this.#report,
      hits: this.#hits,
      viewAt: this.#viewAt,
      prompt: this.#prompt,
      fullScreen: this.#modes.alternate || this.#modes.paste,
    };
  }

  /** The rules that count at the moment, and what they look at. */
  get looking(): { profile: Profile | undefined; view: View } {
    return { profile: this.#rules(), view: this.#view };
  }

  #command(payload: string): void {
    const command = parseCommand(payload);
    if (!command) return;
    const at = this.#now;
    switch (command.type) {
      case 'status':
        if (this.#foreground?.isShell && this.#looks.maySpend(at)) this.#look(at);
        this.#status = { ...command.status, at, ...this.#speaker };
        this.#note(command.status.state, at);
        break;
      case 'clear':
        this.#status = undefined;
        break;
      case 'query':
        this.#options.asked();
        return;
      case 'mark':
        this.#mark = { ...command.mark, at };
        this.#looks.activity(at);
        break;
      case 'title':
        if (command.title === this.#view.title) return;
        this.#view = { ...this.#view, title: command.title };
        this.#viewMoved(at);
    }
    this.#changed = true;
  }

  #mode(mode: number, on: boolean): void {
    if (alternateScreens.has(mode)) this.#modes.alternate = on;
    if (mode === bracketedPaste) {
      this.#modes.paste = on;
      // Whose doing it was decides whether it says something of the shell's prompt.
      if (this.#rootShell && on && this.#looks.maySpend(this.#now)) this.#look(this.#now);
      if (on && this.#foreground?.isShell) this.#prompt.editing = true;
      else if (!on && this.#prompt.editing) this.#prompt.editing = false;
      this.#looks.activity(this.#now);
    }
    this.#changed ||= mode === bracketedPaste || alternateScreens.has(mode);
  }

  /** Asks the system who is in the foreground. */
  #look(now: number): void {
    this.#looks.looked(now);
    const before = this.#foreground;
    const found = this.#options.foreground();
    if (!found) {
      this.#foreground = undefined;
      return;
    }
    const same = before?.group === found.group && before.isShell === found.isShell;
    this.#foreground = { ...found, at: same ? before.at : now };
    if (same) return;
    this.#changed = true;
    const fresh = this.#status?.atPrompt && !found.isShell && now - this.#status.at < newcomerMs;
    if (this.#status && fresh) this.#status = { ...this.#status, group: found.group, atPrompt: false };
    if (this.#status && !stillSpeaks(this.#status, found)) this.#status = undefined;
    if (this.#report && !stillSpeaks(this.#report, found)) this.#report = undefined;
  }

  get #speaker(): Speaker {
    const { group, isShell = false } = this.#foreground ?? {};
    return { group, atPrompt: isShell || (this.#foreground !== undefined && isOurs(this.#foreground)) };
  }

  #viewMoved(now: number): void {
    this.#viewAt = now;
    this.#viewChanged = true;
    this.#changed = true;
  }

  /** Asks the rules, if there is anything new to ask them about. */
  #match(now: number): void {
    const profile = this.#rules();
    if (!this.#viewChanged && profile === this.#matched) return;
    const before = profile?.name === this.#matched?.name ? this.#hits : [];
    this.#viewChanged = false;
    this.#matched = profile;
    const hits = profile?.set.match(this.#view) ?? [];
    this.#askAgainAt = profile?.set.unsure ? now + askAgainMs : undefined;
    if (profile?.set.unsure) this.#viewChanged = true;
    this.#hits = hits.map((hit) => {
      const earlier = before.find(({ rule }) => rule.id === hit.rule.id);
      return { ...hit, at: earlier ? earlier.at : this.#viewAt, goneAt: undefined };
    });
    if (hits.length > 0) return;
    // Perhaps the screen is only half drawn.
    this.#hits = before.flatMap((hit) => {
      const goneAt = hit.goneAt ?? now;
      return now < goneAt + redrawMs ? [{ ...hit, goneAt }] : [];
    });
    if (this.#hits.length > 0) this.#viewChanged = true;
  }

  #rules(): Profile | undefined {
    const { setting, profile } = this.#setting();
    // At a shell's prompt nothing asks; what a command of the shell asks is the same everywhere.
    return profile ?? (setting === 'command' && !this.#modes.alternate ? this.#book.named('shell') : undefined);
  }

  #setting(): { setting: Setting; profile: Profile | undefined } {
    const { worker, argv } = this.#options;
    const asked = worker === undefined || worker === 'shell' ? undefined : this.#book.named(worker);
    if (asked) return { setting: 'program', profile: asked };
    const foreground = this.#foreground;
    if (foreground?.isShell) return { setting: 'shell', profile: undefined };
    const command = programNames(argv);
    const names = foreground ? [...foreground.names, ...(foreground.isRoot ? command : [])] : command;
    const profile = this.#book.forCommand(names) ?? this.#book.forApp(this.#status?.app ?? '');
    // A shell is no program with rules of its own, whatever its file is called.
    if (profile && profile.name !== 'shell') return { setting: 'program', profile };
    if (!this.#rootShell) return { setting: 'other', profile: undefined };
    return { setting: foreground ? 'command' : 'shell', profile: undefined };
  }

  #note(state: SessionState, at: number): void {
    this.#seen.set(state, { at, offset: this.#offset });
  }

  #again(judged: number | undefined): number | undefined {
    const gone = this.#hits.find((hit) => hit.goneAt !== undefined)?.goneAt;
    const times = [judged, this.#looks.next, this.#askAgainAt, gone === undefined ? undefined : gone + redrawMs];
    return times.reduce((a, b) => (a === undefined ? b : b === undefined ? a : Math.min(a, b)), undefined);
  }
}

/** Who had the terminal when something was told. */
interface Speaker {
  group: number | undefined;
  /** It was the shell, or what was typed at its prompt. */
  atPrompt: boolean;
}

/** Whether what was told is still about whoever is in the foreground now. */
function stillSpeaks({ group, atPrompt }: Speaker, now: Foreground): boolean {
  if (atPrompt) return now.isShell || isOurs(now);
  // A program may hand the terminal on to one of its own; at the shell's prompt it has ended or was stopped.
  return group === undefined || group === now.group || !now.isShell;
}

/** `niia report`, typed at a prompt, is for a moment in the foreground itself. */
function isOurs(foreground: Foreground): boolean {
  return foreground.names.includes('niia');
}
