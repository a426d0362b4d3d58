import type { Size } from '../../shared/protocol/shapes.ts';
import type { ScreenRows } from './screen-rows.ts';

/** What the server tells the process part that draws screens. Messages of one screen are carried out in order. */
export type ToScreens =
  | ({ type: 'open'; screen: number; offset: number; scrollback?: number } & Size)
  /** Output that ends at `end`. */
  | { type: 'bytes'; screen: number; end: number; bytes: Uint8Array }
  | ({ type: 'resize'; screen: number } & Size)
  | { type: 'text'; screen: number; request: number; scrollback: number }
  | { type: 'snapshot'; screen: number; request: number; scrollback: number }
  | { type: 'look' | 'drawing'; screen: number; request: number; scrollback: number }
  /** Whether to tell of its rows, now and when they have changed. */
  | { type: 'observe'; screen: number; on: boolean }
  | { type: 'dispose'; screen: number };

export type FromScreens =
  /** Output up to `offset` is drawn. */
  | { type: 'drawn'; screen: number; offset: number }
  | { type: 'title'; screen: number; title: string }
  /** What a terminal answers to a program that asks about it. */
  | { type: 'reply'; screen: number; bytes: Uint8Array }
  | ({ type: 'rows'; screen: number } & ScreenRows)
  | { type: 'text'; screen: number; request: number; text: ScreenText }
  | { type: 'snapshot'; screen: number; request: number; snapshot: Snapshot }
  | { type: 'look'; screen: number; request: number; look: Look }
  | { type: 'drawing'; screen: number; request: number; drawing: Drawing }
  | { type: 'failed'; screen: number; request: number; message: string };

export interface ScreenText extends Size {
  /** The output that it was drawn from ends here. */
  offset: number;
  cursor: { x: number; y: number };
  /** Scrollback lines asked for, then the screen; without the cells at their ends that nothing was written to, and without empty lines below text and cursor. */
  lines: string[];
}

export interface Snapshot extends Size {
  offset: number;
  /** Written to a fresh terminal of this size, these bytes draw the screen and its scrollback. */
  bytes: Uint8Array;
}

/** The screen as somebody looks at it who wants to know what stands where. */
export interface Look {
  offset: number;
  cols: number;
  /** Every row of the screen, empty ones too. */
  rows: string[];
  /** The same without what is drawn faint or inverse. */
  plain: string[];
  cursor: { x: number; y: number };
}

/** All that was drawn, scrollback included. */
export interface Drawing {
  rows: Array<{ text: string; continues: boolean }>;
  /** The program draws on the alternate screen, which has no scrollback. */
  alternate: boolean;
}

/** The way to whatever draws screens: a worker thread, or the same thread in tests. */
export interface ScreenPort {
  post(message: ToScreens): void;
  close(): Promise<void>;
}

export interface ScreenPortHandler {
  message(message: FromScreens): void;
  /** It broke down; nothing more comes from this port. */
  broken(error: Error): void;
}

export type ConnectScreens = (handler: ScreenPortHandler) => ScreenPort;

/** Lines above the screen that are kept as a picture; older ones are in the log. */
export const scrollbackLines = 1000;
