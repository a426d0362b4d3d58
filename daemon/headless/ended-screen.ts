import type { Size } from '../../shared/protocol/shapes.ts';
import { Log } from '../home/log.ts';
import type { OutputLog } from './output-log.ts';
import type { ScreenText, Snapshot } from './screen-messages.ts';
import { scrollbackLines } from './screen-messages.ts';
import type { Screens } from './screens.ts';
import type { FinalScreen, SessionFolder, SessionMeta } from './session-folder.ts';
import type { ScreenSource, SessionScreen } from './session-screen.ts';

interface Parts {
  folder: SessionFolder;
  meta: SessionMeta;
  log: OutputLog;
  screens: Screens;
}

/** Where no last picture was kept, the screen is drawn from this much of the log's end. */
const redrawnBytes = 4 << 20;
const drawWithinMs = 30_000;

const log = new Log('session');

/** The screen that a session left behind: kept as a file, or drawn again from the log where its server was killed. */
export class EndedScreen {
  readonly #parts: Parts;
  /** Still drawn: of a session that ended just now. */
  #last: SessionScreen | undefined;
  #kept: Promise<FinalScreen> | undefined;

  constructor(parts: Parts, last?: SessionScreen) {
    this.#parts = parts;
    this.#last = last;
  }

  /** Puts the last picture on disk and lets go of the screen. */
  async keep(scrollback: number): Promise<void> {
    const screen = this.#last;
    if (!screen) return;
    // Until it is on disk, whoever asks gets this one.
    const kept = picture(screen, this.#parts.log.end, scrollback);
    this.#kept = kept;
    try {
      const drawn = await kept.catch((error: unknown) => {
        // It will be drawn from the log when somebody asks.
        this.#kept = undefined;
        throw error;
      });
      this.#parts.folder.writeFinalScreen(drawn);
      this.#kept = undefined;
    } catch (error) {
      log.warn('the last screen of a session could not be kept on disk', { session: this.#parts.meta.id, error });
    } finally {
      this.#last = undefined;
      screen.dispose();
    }
  }

  async text(scrollback: number): Promise<ScreenText> {
    const { offset, cols, rows, cursor, above, lines } = await this.#final();
    return { offset, cols, rows, cursor, lines: lines.slice(Math.max(0, above - scrollback)) };
  }

  async snapshot(scrollback: number): Promise<Snapshot> {
    const { offset, cols, rows, above, drawing } = await this.#final();
    const bytes = Buffer.from(drawing);
    if (scrollback >= above) return { offset, cols, rows, bytes };
    // Fewer lines than were kept: drawn once more to leave the others out.
    const screen = this.#open(asSource(bytes), 0, { cols, rows });
    try {
      await screen.drawnTo(bytes.length, drawWithinMs);
      return { ...(await screen.snapshot(scrollback)), offset };
    } finally {
      screen.dispose();
    }
  }

  async #final(): Promise<FinalScreen> {
    if (this.#kept) return await this.#kept;
    const kept = this.#parts.folder.readFinalScreen();
    if (kept) return kept;
    const redrawn = await this.#redraw();
    try {
      this.#parts.folder.writeFinalScreen(redrawn);
    } catch (error) {
      log.warn('the last screen of a session could not be kept on disk', { session: this.#parts.meta.id, error });
    }
    return redrawn;
  }

  async #redraw(): Promise<FinalScreen> {
    const output = this.#parts.log;
    const screen = this.#open(output, Math.max(output.firstOffset, output.end - redrawnBytes), this.#parts.meta);
    try {
      return await picture(screen, output.end, scrollbackLines);
    } finally {
      screen.dispose();
    }
  }

  #open(source: ScreenSource, offset: number, size: Size): SessionScreen {
    const ignore = () => undefined;
    return this.#parts.screens.open(source, size, offset, { titled: ignore, reply: ignore, drawn: ignore });
  }
}

async function picture(screen: SessionScreen, end: number, scrollback: number): Promise<FinalScreen> {
  await screen.drawnTo(end, drawWithinMs);
  const bare = await screen.text(0);
  const { offset, cols, rows, cursor, lines } = await screen.text(scrollback);
  const { bytes } = await screen.snapshot(scrollback);
  const above = lines.length - bare.lines.length;
  return { offset, cols, rows, cursor, above, lines, drawing: Buffer.from(bytes).toString('utf8') };
}

function asSource(bytes: Uint8Array): ScreenSource {
  const peek = (offset: number, most: number) => bytes.subarray(offset, offset + most);
  return { firstOffset: 0, end: bytes.length, peek, read: async (from, most) => ({ from, bytes: peek(from, most) }) };
}
