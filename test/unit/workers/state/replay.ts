import { readFileSync } from 'node:fs';
import { Terminal } from '@xterm/headless';
import { lowerRows } from '../../../../daemon/headless/screen-rows.ts';
import { builtInRules } from '../../../../daemon/workers/state/built-in-rules.ts';
import type { Foreground } from '../../../../daemon/workers/state/facts.ts';
import type { Judgement } from '../../../../daemon/workers/state/judge.ts';
import { RuleBook } from '../../../../daemon/workers/state/rule-book.ts';
import { StateTracker } from '../../../../daemon/workers/state/tracker.ts';

const size = { cols: 120, rows: 40 };

/** Recorded output of a CLI, by the name of its file. */
export function recording(name: string): Buffer {
  return readFileSync(new URL(`../../../fixtures/ai-cli/${name}.bin`, import.meta.url));
}

/** Cuts bytes into pieces of these lengths, over and over. */
export function* pieces(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = Math.max(1, lengths[turn % lengths.length] ?? bytes.length);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** A session whose program is a recording, on a clock of its own, with a real screen. */
export class Replay {
  now = 1000;
  offset = 0;
  asked = 0;
  readonly tracker: StateTracker;
  readonly #decoder = new TextDecoder();
  readonly #terminal = new Terminal({ ...size, allowProposedApi: true, logLevel: 'off' });

  constructor(argv: readonly string[], foreground: () => Foreground | undefined = () => undefined, book = builtIn) {
    this.tracker = new StateTracker({
      ...{ argv, worker: undefined, book, now: this.now, foreground },
      asked: () => this.asked++,
    });
  }

  /** Output, in pieces; the screen is looked at after each piece, or only at the end. */
  async hear(bytes: Uint8Array, lengths: readonly number[] = [], lookAlways = false): Promise<void> {
    for (const piece of pieces(bytes, lengths)) {
      this.now += 1;
      this.offset += piece.length;
      this.tracker.heard(piece, this.offset, this.now);
      // The emulator loses a character that is cut after a byte 0x80 (`›` has one), so it gets whole ones.
      this.#terminal.write(this.#decoder.decode(piece, { stream: true }));
      if (lookAlways) {
        await this.#look();
        this.tracker.judge(this.now);
      }
    }
    await this.#look();
  }

  async #look(): Promise<void> {
    await new Promise<void>((resolve) => this.#terminal.write('', resolve));
    const { rows, cursor } = lowerRows(this.#terminal);
    this.tracker.rows(rows, cursor, this.now);
  }

  /** What it is doing after so long without anything new. */
  after(ms: number): Judgement {
    // As a timer would: whenever the last judgement said that it may change.
    const end = this.now + ms;
    let judgement = this.tracker.judge(this.now);
    while (judgement.again !== undefined && judgement.again <= end) {
      this.now = Math.max(this.now + 1, judgement.again);
      judgement = this.tracker.judge(this.now);
    }
    this.now = end;
    return this.tracker.judge(end);
  }
}

export const builtIn = new RuleBook(builtInRules());

const osc = (numbers: string) => new RegExp(`\\x1b\\](?:${numbers});[^\\x07\\x1b]*(?:\\x07|\\x1b\\\\)`, 'g');

/** Takes out what a program says to its terminal beside the screen. */
export function withoutStatus(bytes: Uint8Array): Buffer {
  return without(bytes, osc('7501'));
}

export function withoutTitle(bytes: Uint8Array): Buffer {
  return without(bytes, osc('0|2'));
}

function without(bytes: Uint8Array, what: RegExp): Buffer {
  return Buffer.from(Buffer.from(bytes).toString('latin1').replace(what, ''), 'latin1');
}
