// What we write into a person's terminal ourselves: dim, in brackets, and gone without a trace where it was meant to be.

const esc = '\x1b';
const dim = `${esc}[0;2m`;
const plain = `${esc}[0m`;

/**
 * A note at the cursor that can be taken away again. It makes room for itself in the cursor's line (ICH), with
 * automatic wrapping off, and puts the cursor and its colours back. To be written between two sequences only.
 */
export function transientNote(text: string): { show: string; erase: string } {
  const note = `[${text}]`;
  return {
    show: `${esc}7${esc}[?7l${esc}[${note.length}@${dim}${note}${esc}8${esc}[?7h`,
    // Delete the same cells (DCH): what stood behind moves back.
    erase: `${esc}[${note.length}P`,
  };
}

/** A line of its own at the end of what is shown. */
export function lastLine(text: string): string {
  return `${plain}\r\n${dim}[${text}]${plain}\r\n`;
}

/** Empties the terminal, whatever it was in the middle of (CAN), as a picture needs it (RIS). */
export const emptyTerminal = `\x18${esc}c`;

/**
 * The one line of scrollback above a picture that says what is missing before it: written at the top and scrolled out
 * of the screen, so that the screen is as empty as the picture needs it.
 */
export function noteAbovePicture(text: string): string {
  return `${dim}[${text}]${plain}${esc}[999;1H\n${esc}[H`;
}
