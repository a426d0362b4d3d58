import type { Event, Pseudoterminal, TerminalDimensions } from 'vscode';
import { EventEmitter } from 'vscode';
import type { NiiaError } from '../../shared/errors.ts';
import type { Size } from '../../shared/protocol/shapes.ts';
import type { Peer } from '../../shared/rpc/peer.ts';
import { newKey, signalExitCode } from '../daemon-connection.ts';
import type { Disposable } from '../emitter.ts';
import type { Log } from '../log.ts';
import { bytes as amount, ended } from '../machine-text.ts';
import type { AttachmentView } from './attachment.ts';
import { Attachment } from './attachment.ts';
import { emptyTerminal, lastLine, noteAbovePicture, transientNote } from './notes.ts';
import type { SnapshotEvent } from './output-position.ts';
import { PacedWriter } from './paced-writer.ts';
import { SequenceTracker } from './sequence-tracker.ts';

export interface RemoteTerminalOptions {
  connected: (signal: AbortSignal) => Promise<Peer>;
  /** Machine id and what to call it. */
  machine: string;
  machineName: string;
  /** Session id and what to call it. */
  session: string;
  sessionName: string;
  /** The session's size: used where the editor has none for the terminal yet. */
  size: Size;
  /** The session had ended before: its last screen stays until a key is pressed. */
  hold: boolean;
  /** It comes back after a reload: where the session is no more it goes without a word. */
  restored: boolean;
  log: Log;
}

/** Between two writes to the editor, which has no flow control: 8 MB/s at most, a frame's worth at a time. */
const writeEveryMs = 8;
const mostPerWrite = 64 << 10;
const highWater = 256 << 10;
/** A daemon that restarts is back sooner, and need not be spoken of. */
const noteAfterMs = 300;

/** A session on some machine as one of the editor's terminals. Closing it detaches; the session lives on. */
export class RemoteTerminal implements Pseudoterminal, AttachmentView, Disposable {
  readonly machine: string;
  readonly session: string;
  readonly #o: RemoteTerminalOptions;
  readonly #write = new EventEmitter<string>();
  readonly #override = new EventEmitter<TerminalDimensions | undefined>();
  readonly #close = new EventEmitter<number | undefined>();
  readonly #name = new EventEmitter<string>();
  readonly #tracker = new SequenceTracker();
  readonly #writer: PacedWriter;
  readonly #note = transientNote('reconnecting…');
  #attachment: Attachment | undefined;
  #panel: Size | undefined;
  #sessionSize: Size | undefined;
  #overridden: string | undefined;
  #noteTimer: NodeJS.Timeout | undefined;
  #noteShown = false;
  #sessionName: string;
  #title = '';
  #shownName: string;
  /** Nothing more comes; a key closes it. */
  #finished: number | undefined;

  readonly onDidWrite: Event<string> = this.#write.event;
  readonly onDidOverrideDimensions: Event<TerminalDimensions | undefined> = this.#override.event;
  // biome-ignore lint/suspicious/noConfusingVoidType: it is declared so there
  readonly onDidClose: Event<number | void> = this.#close.event;
  readonly onDidChangeName: Event<string> = this.#name.event;

  constructor(options: RemoteTerminalOptions) {
    this.#o = options;
    this.machine = options.machine;
    this.session = options.session;
    this.#sessionName = options.sessionName;
    this.#shownName = this.name;
    this.#writer = new PacedWriter({
      write: (text) => {
        this.#tracker.feed(text);
        this.#write.fire(text);
      },
      everyMs: writeEveryMs,
      most: mostPerWrite,
      highWater,
    });
  }

  get machineName(): string {
    return this.#o.machineName;
  }

  get sessionName(): string {
    return this.#sessionName;
  }

  get name(): string {
    const title = this.#title && this.#title !== this.#sessionName ? ` · ${this.#title}` : '';
    return `${this.#sessionName} — ${this.#o.machineName}${title}`;
  }

  // What the editor calls

  /** Nothing is shown before this: what is fired earlier is lost. */
  open(initial: TerminalDimensions | undefined): void {
    if (initial) this.#panel = { cols: initial.columns, rows: initial.rows };
    const { connected, machine, session, size } = this.#o;
    this.#attachment = new Attachment({
      ...{ connected, machine, session, client: newKey(), size: this.#panel ?? size, view: this },
    });
    void this.#attachment.run();
  }

  close(): void {
    this.dispose();
  }

  handleInput(data: string): void {
    if (this.#finished !== undefined) {
      this.#close.fire(this.#finished);
      return;
    }
    // A bell, as for any key that leads nowhere.
    if (this.#attachment?.type(Buffer.from(data)) === false) this.#write.fire('\x07');
  }

  setDimensions({ columns, rows }: TerminalDimensions): void {
    this.#panel = { cols: columns, rows };
    this.#attachment?.resize(this.#panel);
    this.#fit();
  }

  // What the manager of terminals calls

  /** The session is called so by now. */
  renamed(name: string): void {
    this.#sessionName = name;
    this.#tellName();
  }

  /** The machine is there again. */
  wake(): void {
    this.#attachment?.wake();
  }

  dispose(): void {
    clearTimeout(this.#noteTimer);
    this.#attachment?.detach();
    this.#writer.dispose();
    for (const emitter of [this.#write, this.#override, this.#close, this.#name]) emitter.dispose();
  }

  // What the session tells

  show(bytes: Uint8Array): Promise<void> | undefined {
    return this.#writer.push(bytes);
  }

  picture({ gap }: SnapshotEvent): void {
    // What waits would be wiped at once: that is how a terminal that fell behind catches up.
    this.#writer.clear();
    this.#noteShown = false;
    const missed = gap && gap.to > gap.from ? noteAbovePicture(`${amount(gap.to - gap.from)} of output not shown`) : '';
    this.#emit(emptyTerminal + missed);
    if (missed) this.#o.log.info(`${this.name}: output from ${gap?.from} to ${gap?.to} was skipped`);
  }

  resized({ cols, rows }: Size): void {
    this.#sessionSize = { cols, rows };
    this.#fit();
  }

  attached(name: string, readOnly: boolean): void {
    this.#eraseNote();
    this.#sessionName = name;
    if (readOnly) this.#o.log.info(`${name} on ${this.#o.machineName} is shown read-only`);
    this.#tellName(readOnly);
  }

  titled(title: string): void {
    this.#title = title;
    this.#tellName();
  }

  interrupted(error: NiiaError): void {
    this.#o.log.debug(`${this.name}: ${error.message}`);
    if (this.#noteShown || this.#noteTimer) return;
    this.#noteTimer = setTimeout(() => this.#showNote(), noteAfterMs);
  }

  ended(exitCode: number | null, signal: string | null): void {
    this.#eraseNote();
    this.#writer.flush();
    // A hang-up is how sessions are ended on purpose: nothing to warn of.
    const code = exitCode ?? (signal && signal !== 'SIGHUP' ? signalExitCode(signal) : 0);
    if (this.#o.hold) this.#finish(`${ended(exitCode, signal)} — press any key to close`, code);
    else this.#close.fire(code);
  }

  failed(error: NiiaError): void {
    this.#eraseNote();
    this.#writer.flush();
    this.#o.log.warn(`${this.name}: ${error.message}`);
    const gone = error.code === 'no_such_session' || error.code === 'no_such_machine' || error.code === 'session_ended';
    if (this.#o.restored && gone) this.#close.fire(undefined);
    else this.#finish(`${error.message} — press any key to close`, 1);
  }

  /** Where the session is smaller than the panel, the terminal is; larger it cannot be. */
  #fit(): void {
    const [panel, session] = [this.#panel, this.#sessionSize];
    const smaller = panel && session && (session.cols < panel.cols || session.rows < panel.rows);
    const dimensions = smaller ? { columns: session.cols, rows: session.rows } : undefined;
    const key = JSON.stringify(dimensions);
    if (key === this.#overridden) return;
    this.#overridden = key;
    this.#override.fire(dimensions);
  }

  #finish(why: string, code: number): void {
    this.#finished = code;
    this.#emit(lastLine(why));
  }

  #showNote(): void {
    this.#noteTimer = undefined;
    this.#writer.flush();
    // Within a sequence a note would tear it apart: then the name alone says it.
    if (this.#tracker.ground) {
      this.#noteShown = true;
      this.#write.fire(this.#note.show);
    }
    this.#name.fire(`${this.name} (reconnecting…)`);
    this.#shownName = '';
  }

  #eraseNote(): void {
    clearTimeout(this.#noteTimer);
    this.#noteTimer = undefined;
    if (!this.#noteShown) return;
    this.#noteShown = false;
    this.#write.fire(this.#note.erase);
  }

  #emit(text: string): void {
    this.#tracker.feed(text);
    this.#write.fire(text);
  }

  #tellName(readOnly = this.#attachment?.readOnly ?? false): void {
    const name = readOnly ? `${this.name} (read-only)` : this.name;
    if (name === this.#shownName) return;
    this.#shownName = name;
    this.#name.fire(name);
  }
}
