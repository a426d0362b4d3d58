import { SerializeAddon } from '@xterm/addon-serialize';
import type { IBufferLine } from '@xterm/headless';
import { Terminal } from '@xterm/headless';
import type { Size } from '../../shared/protocol/shapes.ts';
import type { Drawing, FromScreens, Look, ScreenText, Snapshot, ToScreens } from './screen-messages.ts';
import { scrollbackLines } from './screen-messages.ts';
import { RowsWatch } from './screen-rows.ts';

/** A title beyond this is no title; it goes into every list of sessions. Characters. */
const longestTitle = 1024;

/** Draws the screens of all sessions, each from its output in order. */
export class Emulator {
  readonly #post: (message: FromScreens) => void;
  readonly #screens = new Map<number, Screen>();

  constructor(post: (message: FromScreens) => void) {
    this.#post = post;
  }

  handle(message: ToScreens): void {
    if (message.type === 'open') {
      this.#screens.set(
        message.screen,
        new Screen(message.screen, message, message.offset, this.#post, message.scrollback),
      );
      return;
    }
    const screen = this.#screens.get(message.screen);
    if (!screen) {
      if ('request' in message) {
        const { screen: number, request } = message;
        this.#post({ type: 'failed', screen: number, request, message: 'there is no such screen' });
      }
      return;
    }
    screen.enqueue(message);
    if (message.type === 'dispose') this.#screens.delete(message.screen);
  }
}

class Screen {
  readonly #number: number;
  readonly #post: (message: FromScreens) => void;
  readonly #terminal: Terminal;
  readonly #serializer = new SerializeAddon();
  #offset: number;
  /** Bytes given to the terminal and not yet drawn. */
  #writing = 0;
  #watch: RowsWatch | undefined;
  /** What must wait until all bytes before it are drawn, and whatever came after that. */
  readonly #queue: ToScreens[] = [];

  constructor(
    number: number,
    size: Size,
    offset: number,
    post: (message: FromScreens) => void,
    scrollback = scrollbackLines,
  ) {
    this.#number = number;
    this.#post = post;
    this.#offset = offset;
    this.#terminal = new Terminal({
      cols: size.cols,
      rows: size.rows,
      scrollback,
      allowProposedApi: true,
      logLevel: 'off',
    });
    this.#terminal.loadAddon(this.#serializer);
    this.#terminal.onTitleChange((title) =>
      post({ type: 'title', screen: number, title: title.slice(0, longestTitle) }),
    );
    this.#terminal.onData((data) => post({ type: 'reply', screen: number, bytes: Buffer.from(data) }));
    this.#terminal.onBinary((data) => post({ type: 'reply', screen: number, bytes: Buffer.from(data, 'latin1') }));
  }

  enqueue(message: ToScreens): void {
    this.#queue.push(message);
    this.#advance();
  }

  #advance(): void {
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      // Bytes may be given ahead, which is twice as fast; everything else acts on what is drawn.
      if (next.type !== 'bytes' && this.#writing > 0) return;
      this.#queue.shift();
      this.#carryOut(next);
    }
  }

  #carryOut(message: ToScreens): void {
    switch (message.type) {
      case 'bytes': {
        const { end, bytes } = message;
        this.#writing++;
        this.#terminal.write(bytes, () => {
          this.#writing--;
          this.#offset = end;
          this.#post({ type: 'drawn', screen: this.#number, offset: end });
          this.#watch?.drawn();
          this.#advance();
        });
        return;
      }
      case 'resize':
        this.#terminal.resize(message.cols, message.rows);
        this.#watch?.drawn();
        return;
      case 'text':
      case 'snapshot':
      case 'look':
      case 'drawing':
        this.#answer(message);
        return;
      case 'observe':
        this.#watch?.close();
        this.#watch = message.on
          ? new RowsWatch(this.#terminal, (rows) => this.#post({ type: 'rows', screen: this.#number, ...rows }))
          : undefined;
        return;
      case 'dispose':
        this.#watch?.close();
        this.#terminal.dispose();
    }
  }

  #answer({ type, request, scrollback }: Extract<ToScreens, { type: 'text' | 'snapshot' | 'look' | 'drawing' }>): void {
    const screen = this.#number;
    try {
      if (type === 'text') this.#post({ type, screen, request, text: this.#text(scrollback) });
      else if (type === 'snapshot') this.#post({ type, screen, request, snapshot: this.#snapshot(scrollback) });
      else if (type === 'drawing') this.#post({ type, screen, request, drawing: drawingOf(this.#terminal) });
      else this.#post({ type, screen, request, look: { offset: this.#offset, ...lookAt(this.#terminal) } });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#post({ type: 'failed', screen, request, message });
    }
  }

  #text(scrollback: number): ScreenText {
    const { cols, rows } = this.#terminal;
    const buffer = this.#terminal.buffer.active;
    const lines: string[] = [];
    for (let y = Math.max(0, buffer.baseY - scrollback); y < buffer.baseY + rows; y++) {
      lines.push(buffer.getLine(y)?.translateToString(true) ?? '');
    }
    const throughCursor = lines.length - rows + buffer.cursorY + 1;
    while (lines.length > throughCursor && lines.at(-1) === '') lines.pop();
    return { offset: this.#offset, cols, rows, cursor: { x: buffer.cursorX, y: buffer.cursorY }, lines };
  }

  #snapshot(scrollback: number): Snapshot {
    const { cols, rows } = this.#terminal;
    const text = this.#serializer.serialize({ scrollback: Math.min(scrollback, scrollbackLines) });
    return { offset: this.#offset, cols, rows, bytes: Buffer.from(text) };
  }
}

/** What stands on the screen, row by row. */
export function lookAt(terminal: Terminal): Omit<Look, 'offset'> {
  const { cols, rows: height } = terminal;
  const { active } = terminal.buffer;
  const rows: string[] = [];
  const plain: string[] = [];
  for (let y = active.baseY; y < active.baseY + height; y++) {
    const line = active.getLine(y);
    rows.push(line?.translateToString(true) ?? '');
    plain.push(line ? withoutFaint(line, cols) : '');
  }
  const cursor = { x: active.cursorX, y: active.cursorY };
  return { cols, rows, plain, cursor };
}

function withoutFaint(line: IBufferLine, cols: number): string {
  let text = '';
  for (let x = 0; x < cols; x++) {
    const cell = line.getCell(x);
    if (!cell || cell.getWidth() === 0) continue;
    const blank = cell.isDim() !== 0 || cell.isInverse() !== 0;
    text += blank ? ' ' : cell.getChars() || ' ';
  }
  return text.trimEnd();
}

function drawingOf({ buffer: { active } }: Terminal): Drawing {
  const rows: Drawing['rows'] = [];
  for (let y = 0; y < active.length; y++) {
    const line = active.getLine(y);
    rows.push({ text: line?.translateToString(true) ?? '', continues: line?.isWrapped ?? false });
  }
  const end = active.baseY + active.cursorY;
  while (rows.length > end + 1 && rows.at(-1)?.text === '') rows.pop();
  return { rows, alternate: active.type === 'alternate' };
}
