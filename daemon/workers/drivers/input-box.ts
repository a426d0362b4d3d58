import type { ScreenLook } from './driver.ts';

/** A box holds at most so many rows of a text; further up is history. */
const tallestBox = 24;

/**
 * The text of an input box whose first row begins with `marker` and whose further rows are indented: from the marker's
 * row down to the cursor's, which is where a text ends while nobody edits it.
 */
export function boxAtCursor(look: ScreenLook, marker: RegExp, indented: RegExp): string | undefined {
  const { plain, rows, cursor } = look;
  const text: string[] = [];
  for (let y = cursor.y; y >= 0 && cursor.y - y < tallestBox; y--) {
    const row = rows[y] ?? '';
    const found = marker.exec(row);
    // The marker itself may be drawn faint; what follows it counts.
    const shown = plain[y] ?? '';
    if (found) {
      text.unshift(shown.slice(found[0].length));
      return text.join('\n').trim();
    }
    if (row.trim() !== '' && !indented.test(row)) return undefined;
    text.unshift(shown);
  }
  return undefined;
}

/** What a program shows in place of a long paste. */
const collapsed = /\[Pasted (content|text)\b/i;

/** Whether the box shows `text`, or what stands for it. */
export function showsText(box: string, text: string): boolean {
  if (box === '') return false;
  if (collapsed.test(box)) return true;
  const shown = squeezed(box);
  const wanted = squeezed(text);
  if (wanted === '') return true;
  return wanted.includes(shown) || shown.includes(wanted.slice(0, 24)) || shown.includes(wanted.slice(-24));
}

/** Without blanks: where a box breaks its rows is the box's own matter. */
function squeezed(text: string): string {
  return text.replace(/\s+/g, '');
}
