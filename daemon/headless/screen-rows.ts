import type { Terminal } from '@xterm/headless';

/** Rows of the screen that say what a program is doing: the lowest, where prompts, dialogs and progress stand. */
const mostRows = 48;
/** A screen is looked at when it was drawn and still for so long, ... */
const settleMs = 15;
/** ... or at the latest so long after it began to change. */
const latestMs = 50;
/** A program that says it is in the middle of drawing (mode 2026) is given so long at most. */
const latestMidDrawMs = 80;

export interface ScreenRows {
  /** Without empty ones below the last. */
  rows: string[];
  /** Index of the cursor's row among them; -1 where it is not. */
  cursor: number;
}

/** Tells of a screen's lower rows when they have changed, at most twenty times a second. */
export class RowsWatch {
  readonly #terminal: Terminal;
  readonly #tell: (rows: ScreenRows) => void;
  #last = '';
  /** When the first change came that was not looked at; undefined where there is none. */
  #since: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, tell: (rows: ScreenRows) => void) {
    this.#terminal = terminal;
    this.#tell = tell;
    this.#look();
  }

  /** Something was drawn. */
  drawn(): void {
    const now = performance.now();
    this.#since ??= now;
    if (now - this.#since >= latestMs) {
      this.#due();
      return;
    }
    // Moved on rather than made anew while drawing goes on.
    if (this.#timer) this.#timer.refresh();
    else this.#timer = setTimeout(() => this.#due(), settleMs);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #due(): void {
    const waited = performance.now() - (this.#since ?? 0);
    if (this.#terminal.modes.synchronizedOutputMode && waited < latestMidDrawMs) {
      if (this.#timer) this.#timer.refresh();
      else this.#timer = setTimeout(() => this.#due(), settleMs);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#since = undefined;
    this.#look();
  }

  #look(): void {
    const found = lowerRows(this.#terminal);
    const text = `${found.cursor}\n${found.rows.join('\n')}`;
    if (text === this.#last) return;
    this.#last = text;
    this.#tell(found);
  }
}

/** The rows as they are drawn now. */
export function lowerRows({ buffer: { active }, rows: height }: Terminal): ScreenRows {
  const rows: string[] = [];
  for (let y = 0; y < height; y++) rows.push(active.getLine(active.baseY + y)?.translateToString(true) ?? '');
  while (rows.length > 0 && rows.at(-1) === '') rows.pop();
  const above = Math.max(0, rows.length - mostRows);
  rows.splice(0, above);
  const cursor = active.cursorY - above;
  return { rows, cursor: cursor >= 0 && cursor < rows.length ? cursor : -1 };
}
