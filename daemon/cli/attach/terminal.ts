import type { NiiaError } from '../../../shared/errors.ts';
import type { Size } from '../../../shared/protocol/shapes.ts';
import { blank, enter, leave, note } from './escapes.ts';
import type { Screen } from './resuming-viewer.ts';
import { TtyWriter } from './tty-writer.ts';

/** A break shorter than this is not worth a note. */
const noteAfterMs = 400;

/** The terminal that this process runs in, showing a session. `restore` puts it back in order. */
export class Terminal implements Screen {
  readonly #input = process.stdin;
  readonly #output = process.stdout;
  readonly #writer = new TtyWriter();
  readonly #entered: () => void;
  #active = false;
  #noteTimer: NodeJS.Timeout | undefined;
  #noted = false;
  /** `MACHINE/ID` of what is shown. */
  label = '';

  /** `entered` is called when the session is there and keys are read. */
  constructor(entered: () => void) {
    this.#entered = entered;
  }

  get size(): Size {
    return { cols: this.#output.columns || 80, rows: this.#output.rows || 24 };
  }

  attached({ machine, session }: { machine: string; session: string }, again: boolean): void {
    this.label = `${machine}/${session}`;
    if (again) {
      this.#endNote();
      return;
    }
    this.#active = true;
    this.#input.setRawMode(true);
    this.#write(enter(this.size.rows));
    // However this process ends, the terminal must be usable after it.
    process.once('exit', this.#restoreAtExit);
    this.#entered();
  }

  redraw(): void | Promise<void> {
    return this.#write(blank);
  }

  show(bytes: Uint8Array): void | Promise<void> {
    return this.#writer.write(bytes);
  }

  /** The session's size may be another's choice; this terminal cannot follow. */
  resized(): void {
    return;
  }

  lost(error: NiiaError): void {
    // A paste may wait for the session; whoever wants to leave must be heard all the same.
    this.#input.resume();
    if (this.#noted) return;
    this.#noteTimer ??= setTimeout(() => {
      this.#noted = true;
      const { rows, cols } = this.size;
      const why = error.code === 'offline' ? 'the machine is offline' : 'the connection broke';
      this.#write(note(rows, cols, ` niia: ${why}; taking it up again… (Ctrl-\\ d leaves) `));
    }, noteAfterMs);
  }

  covered(): boolean {
    return this.#noted;
  }

  bell(): void {
    this.#write('\x07');
  }

  restore(): void {
    this.#endNote();
    if (!this.#active) return;
    this.#active = false;
    process.off('exit', this.#restoreAtExit);
    this.#writer.writeAndWait(leave);
    this.#writer.close();
    this.#input.setRawMode(false);
  }

  readonly #restoreAtExit = (): void => this.restore();

  #endNote(): void {
    clearTimeout(this.#noteTimer);
    this.#noteTimer = undefined;
    this.#noted = false;
  }

  #write(text: string): void | Promise<void> {
    return this.#writer.write(Buffer.from(text));
  }
}
