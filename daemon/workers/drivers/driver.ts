/** What a driver looks at: the visible rows, and where the cursor is among them. */
export interface ScreenLook {
  rows: readonly string[];
  /** The same without what is drawn faint or inverse: placeholders, and the cursor that programs draw themselves. */
  plain: readonly string[];
  cursor: { x: number; y: number };
}

/** A question on the screen, before anybody gave it an id. */
export interface AskedQuestion {
  question: string;
  command: string | null;
  options: AskedOption[];
  /** The first row that belongs to it. */
  top: number;
}

export interface AskedOption {
  number: number;
  label: string;
  means: 'allow' | 'allow-always' | 'deny' | null;
  /** It is the one that Enter would choose. */
  selected: boolean;
  /** What is typed to choose it. */
  keys: string;
}

/** A server of the Model Context Protocol that a worker starts for itself and talks to on its stdin and stdout. */
export interface McpServer {
  name: string;
  command: string;
  args: readonly string[];
  /** Variables of the worker's environment that it needs. */
  variables: readonly string[];
}

/** How a program is started as a worker. */
export interface StartRule {
  /** Looked up on the PATH of the session; undefined: the words that the user gives are the command. */
  program: string | undefined;
  /** Words before the user's own, each with the user's words that make it unnecessary. */
  args: ReadonlyArray<{ words: readonly string[]; unless: readonly string[] }>;
  env: Readonly<Record<string, string>>;
  /** Words that tell it of an MCP server; or, where no words of a start do, how its user can; undefined: it knows of none. */
  mcp?: ((server: McpServer) => readonly string[]) | { byHand: string };
  /** The permission modes that can be chosen for it, each with the words that choose it. */
  permissions?: Readonly<Record<string, readonly string[]>>;
  /** How to get the program. */
  install: string;
}

export interface SubmitRule {
  enter: string;
  /** Between the pasted text showing in the input box and Enter. */
  enterAfterMs: number;
  /** The screen shows the input box; without one, what stands there cannot be known. */
  hasBox: boolean;
  /** Text without bracketed paste: `lines` submits each line, `single` takes one line only. */
  unbracketed: 'lines' | 'single';
  /** Prompts that the program carries out itself, without a turn of the model. */
  local: RegExp | undefined;
  /** How it is seen that Enter was taken: the state left ready, or its output went on to a new line. */
  seenBy: 'state' | 'line';
  /** A turn is over when the worker has been ready for so long. */
  settleMs: number;
}

/** One kind of worker: data and a few functions of its screen. No clock, no I/O. */
export interface Driver {
  readonly name: string;
  readonly start: StartRule;
  readonly submit: SubmitRule;
  /** The text in the input box, placeholders not counted; undefined where no box is seen. */
  inputBox(look: ScreenLook): string | undefined;
  /** The question on the screen; undefined where none is recognised. */
  question(look: ScreenLook): AskedQuestion | undefined;
  /** Typed to stop a turn. */
  readonly interrupt: string;
  /** A row of the screen in which it says that its model refuses more work for now; undefined: what is usual counts. */
  readonly quota?: RegExp;
  /** Which record of conversations it keeps. */
  readonly transcript: 'codex' | 'claude' | 'gemini' | undefined;
  /** Takes the answer to `prompt` out of what was drawn, the oldest row first; undefined where it is not found. */
  answer(rows: readonly DrawnRow[], prompt: string, cols: number): string | undefined;
}

export interface DrawnRow {
  text: string;
  /** It is the rest of the row above, which was too long for the terminal. */
  continues: boolean;
}
