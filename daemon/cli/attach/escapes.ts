/** Escape sequences (ECMA-48, xterm's ctlseqs) that put a terminal back in order. */

const saveCursor = '\x1b7';
const restoreCursor = '\x1b8';
const normalScreen = '\x1b[?1049l';
/** Cursor shown, colours, character sets, margins, origin and keypad as after a start. Does not move the cursor. */
const softReset = '\x1b[!p';
const off = (...modes: readonly number[]): string => modes.map((mode) => `\x1b[?${mode}l`).join('');
/** Mouse reports (9, 1000 to 1006, 1015), focus reports (1004), bracketed paste (2004), cursor keys (1). */
const inputModesOff = off(9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004, 1);
/** Normal keypad, modifyOtherKeys off, all of kitty's keyboard flags popped, the cursor's own shape. */
const keyboardReset = '\x1b>\x1b[>4m\x1b[<8u\x1b[0 q';
const cursorAndWrap = '\x1b[?7h\x1b[?25h\x1b[0m';
const order = `${softReset}${inputModesOff}${keyboardReset}${cursorAndWrap}`;

/** Moves what is on the screen into the scrollback, so that a picture can be drawn and nothing of the user's is lost. */
export function enter(rows: number): string {
  return `\x1b[${rows};1H${'\n'.repeat(rows)}\x1b[H`;
}

/** A screen as a picture expects it: normal, in order and empty. The scrollback stays. */
export const blank = `${normalScreen}${order}\x1b[r\x1b[H\x1b[J`;

/**
 * Leaves the terminal as programs expect it, below what was shown. The cursor is saved first, since leaving the
 * alternate screen restores it even where there was none.
 */
export const leave = `${saveCursor}${normalScreen}${order}\x1b[999;1H\r\n`;

/** A note on the last row. */
export function note(rows: number, columns: number, text: string): string {
  return `${saveCursor}\x1b[${rows};1H\x1b[0;7m${text.slice(0, columns - 1)}\x1b[0m\x1b[K${restoreCursor}`;
}
