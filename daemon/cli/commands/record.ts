import { open } from 'node:fs/promises';
import { NiiaError } from '../../../shared/errors.ts';
import type { Size } from '../../../shared/protocol/shapes.ts';
import { Asciicast } from '../attach/asciicast.ts';
import { blank } from '../attach/escapes.ts';
import type { Screen } from '../attach/resuming-viewer.ts';
import { ResumingViewer } from '../attach/resuming-viewer.ts';
import type { Run } from '../context.ts';
import { count } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { whichSession } from '../which-session.ts';

type Append = (text: string) => Promise<void>;

export const record: Run<Specs['record']> = async ({ options }, { daemon, deadline, out }) => {
  if (options.out === undefined) throw new NiiaError('usage', 'record needs --out FILE', 'A - stands for stdout.');
  const session = whichSession(daemon, options.session);
  const file = options.out === '-' ? undefined : await open(options.out, 'w');
  const recording = new Recording(file ? async (text) => void (await file.appendFile(text)) : (text) => out.text(text));
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(new NiiaError('cancelled', 'the recording was stopped'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  const viewer = new ResumingViewer({
    daemon,
    deadline,
    screen: recording,
    session,
    create: false,
    readOnly: true,
    // A read-only viewer changes no session's size.
    size: { cols: 80, rows: 24 },
    scrollback: 0,
  });
  try {
    if (file) await out.advice(`Recording to ${options.out}; Ctrl-C ends it.`);
    await viewer.run(stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
    await file?.close();
  }
  if (!file) return;
  const { label, bytes } = recording;
  const summary = { session: label.session, machine: label.machine, file: options.out, bytes };
  await out.result(summary, () => `${options.out}: ${count(bytes, 'byte')} of output\n`);
};

/** Writes what a session shows as an asciicast. */
class Recording implements Screen {
  readonly #append: Append;
  readonly #cast = new Asciicast(Date.now());
  label = { session: '', machine: '' };
  bytes = 0;
  #header: string | undefined;

  constructor(append: Append) {
    this.#append = append;
  }

  attached({ session, machine, cols, rows }: { session: string; machine: string } & Size, again: boolean): void {
    if (again) return;
    this.label = { session, machine };
    this.#header = this.#cast.header({ cols, rows }, `${machine}/${session}`);
  }

  async redraw(gap: { from: number; to: number } | null): Promise<void> {
    if (gap) await this.#write(this.#cast.marker(Date.now(), `output from byte ${gap.from} to ${gap.to} is left out`));
    await this.#write(this.#cast.output(Date.now(), Buffer.from(blank)));
  }

  async show(bytes: Uint8Array): Promise<void> {
    this.bytes += bytes.length;
    await this.#write(this.#cast.output(Date.now(), bytes));
  }

  async resized(size: Size): Promise<void> {
    await this.#write(this.#cast.resize(Date.now(), size));
  }

  /** Nothing covers a recording, and what was missed follows. */
  lost(): void {
    return;
  }

  covered(): boolean {
    return false;
  }

  async #write(text: string): Promise<void> {
    const header = this.#header ?? '';
    this.#header = undefined;
    if (header + text !== '') await this.#append(header + text);
  }
}
