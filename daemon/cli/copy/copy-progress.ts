import { isatty } from 'node:tty';
import type { CopyReport } from '../../files/sender.ts';
import { printable } from '../format.ts';
import { writeBytes } from '../output.ts';

const drawEveryMs = 100;
const tellEveryMs = 500;
const mostErrors = 1_000;
const barCells = 24;

/** Counts what was copied, names what was not, and shows how far it is: a bar on a terminal, NDJSON with `--json`. */
export class CopyProgress implements CopyReport {
  readonly #json: boolean;
  readonly #startedAt = performance.now();
  readonly counts = { files: 0, folders: 0, links: 0, bytes: 0, skipped: 0, failed: 0 };
  readonly errors: Array<{ path: string; message: string }> = [];
  #total: { files: number; bytes: number } | undefined;
  #arrived = 0;
  #before = 0;
  #shownAt = 0;
  #drawn = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(json: boolean) {
    this.#json = json;
  }

  copied(kind: 'file' | 'folder' | 'link', bytes: number): void {
    this.counts[`${kind}s`]++;
    this.counts.bytes += bytes;
  }

  missed(name: string, message: string, warning: boolean): void {
    this.counts[warning ? 'skipped' : 'failed']++;
    if (message !== '') this.#name(name, message, warning ? '; skipped' : '');
  }

  warned(name: string, message: string): void {
    this.#name(name, message, '');
  }

  total(files: number, bytes: number): void {
    this.#total ??= { files, bytes };
  }

  progress(bytes: number): void {
    if (bytes > 0) this.#arrived = this.#before + bytes;
    const now = performance.now();
    if (now - this.#shownAt < (this.#json ? tellEveryMs : drawEveryMs)) return;
    this.#shownAt = now;
    this.#show();
  }

  /** The next connection counts its bytes from 0. */
  again(): void {
    this.#before = this.#arrived;
  }

  /** Whether anybody sees how far it is. */
  get isShown(): boolean {
    return this.#json || isatty(2);
  }

  /** A line for people, below what is drawn. */
  say(line: string): void {
    this.#write(`${this.#drawn ? '\r\x1b[K' : ''}${line}\n`);
    this.#drawn = false;
  }

  /** Resolves when all is written, with `--json` how far it came in the end as well. */
  async end(): Promise<void> {
    if (this.#json && this.#shownAt > 0) this.#show();
    if (this.#drawn) this.#write('\r\x1b[K');
    await this.#writing;
  }

  get durationMs(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  #name(path: string, message: string, then: string): void {
    if (this.errors.length < mostErrors) this.errors.push({ path, message });
    if (!this.#json) this.say(`niia: ${printable(path)}: ${printable(message)}${then}`);
  }

  #show(): void {
    const { files } = this.counts;
    if (this.#json) {
      const progress = { files, bytes: this.#arrived, totalFiles: this.#total?.files, totalBytes: this.#total?.bytes };
      this.#write(`${JSON.stringify({ progress })}\n`);
    } else if (isatty(2)) {
      this.#drawn = true;
      this.#write(`\r\x1b[K${barText(this.#arrived, this.#total?.bytes, files, this.durationMs)}`);
    }
  }

  #write(text: string): void {
    this.#writing = this.#writing.then(() => writeBytes(2, Buffer.from(text))).catch(() => undefined);
  }
}

/** `[#####     ]  42 %  120 MB  33 MB/s  17 files`. */
export function barText(bytes: number, total: number | undefined, files: number, ms: number): string {
  const mb = (n: number): string => (n / 1e6).toFixed(n < 1e7 ? 1 : 0);
  const rate = ms > 0 ? `  ${mb((bytes / ms) * 1000)} MB/s` : '';
  const tail = `${mb(bytes)} MB${rate}  ${files} file${files === 1 ? '' : 's'}`;
  if (total === undefined || total === 0) return tail;
  const part = Math.min(1, bytes / total);
  const full = Math.round(part * barCells);
  return `[${'#'.repeat(full)}${' '.repeat(barCells - full)}] ${String(Math.round(part * 100)).padStart(3)} %  ${tail}`;
}
