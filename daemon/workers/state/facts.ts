import type { SessionState } from '../../../shared/protocol/shapes.ts';
import type { ProgramStatus, ShellMark } from './program-status.ts';
import type { Profile } from './rule-book.ts';
import type { Hit } from './rule-set.ts';

/** Where a piece of evidence comes from, the most trusted first. */
export const sources = ['program', 'shell', 'report', 'title', 'screen', 'foreground'] as const;
export type Source = (typeof sources)[number];

/** One thing that speaks for a state. */
export interface Evidence {
  state: SessionState;
  source: Source;
  /** The rule that made it: of a rule file, or one that is built in. */
  rule: string;
  /** The bytes or the line that it was found in. */
  excerpt: string;
  /** From 0 to 1. */
  confidence: number;
  /** Since when it holds; milliseconds of a clock that only runs forward. */
  at: number;
}

/** Something that was told at a moment. */
export type Told<T> = T & { at: number };

/** What a program inside the session reported of it (`niia report`). */
export interface Report {
  state: Extract<SessionState, 'idle' | 'busy' | 'blocked'>;
  message: string;
}

/** The process group in the terminal's foreground. */
export interface Foreground {
  group: number;
  /** What its program may be called. */
  names: readonly string[];
  /** It is the process that the session was started with. */
  isRoot: boolean;
  /** It is a shell that reads what somebody types. */
  isShell: boolean;
  /** It uses the processor, or waits for a disk, at this moment. */
  running: boolean;
}

/**
 * Whose evidence counts. `program`: one whose rules are known is in the foreground; `shell`: a shell at its prompt;
 * `command`: a shell runs something else; `other`: a program that nothing is known of.
 */
export type Setting = 'program' | 'shell' | 'command' | 'other';

/** All that is known of a live session at one moment. */
export interface Facts {
  now: number;
  startedAt: number;
  /** Of the last output; undefined where there was none yet. */
  outputAt: number | undefined;
  setting: Setting;
  profile: Profile | undefined;
  foreground: Told<Foreground> | undefined;
  status: Told<ProgramStatus> | undefined;
  mark: Told<ShellMark> | undefined;
  report: Told<Report> | undefined;
  /** Rules that hold for title and screen. */
  hits: ReadonlyArray<Told<Hit>>;
  /** When title or screen last changed. */
  viewAt: number;
  prompt: PromptFacts;
  /** A program has taken the whole screen, or reads pasted text: it does more than print. */
  fullScreen: boolean;
}

/** How a shell without integration behaves at its prompt. */
export interface PromptFacts {
  /** Bracketed paste is on: the shell's line editor reads. Undefined where this shell never switched it on. */
  editing: boolean | undefined;
  /** Bytes of output since it was last quiet. */
  burst: number;
  /** What the prompt was taken for before the present output. */
  before: 'idle' | 'busy' | undefined;
}
