import type { Settings } from './settings.ts';
import type { Path } from './source.ts';

/** A phase and its workers with their names, before it is known whether what they refer to is there. */
export interface DraftPhase {
  name: string;
  parallel: number;
  workers: DraftWorker[];
}

export interface DraftWorker {
  name: string;
  settings: Settings;
  needs: ReadonlyArray<{ name: string; path: Path }>;
  /** Undefined: the file gives none. */
  prompt: Prompt | undefined;
}

export interface Prompt {
  template: string;
  /** What of it was written by the file's author, and where it stands; the rest is ours. */
  parts: readonly PromptPart[];
}

export interface PromptPart {
  text: string;
  path: Path;
}
