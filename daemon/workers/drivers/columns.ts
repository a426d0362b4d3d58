/** Characters that take two columns: of East Asia, and emoji. Ambiguous ones take one. */
const wide =
  /[\u1100-\u115f\u231a\u231b\u23e9-\u23ec\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6fc}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
/** Characters that take none: they stand on the one before. */
const none = /\p{M}|[\u200b-\u200f]/u;

/** How many columns a program that wraps a text takes it to fill in a terminal. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += none.test(character) ? 0 : isWide(character) ? 2 : 1;
  return columns;
}

export function isWide(character: string): boolean {
  return wide.test(character);
}
