/** What a shell would do more about than to split at spaces, where it is not quoted. */
const shellOnly = /[|&;<>()$`*?[\]#~{}!\n]/;

/**
 * The words of a command line, as a shell splits them; undefined where it has more in it than words (a pipe, say),
 * which takes a shell. Throws a `SyntaxError` where a quote or a backslash has nothing after it.
 */
export function commandWords(line: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? '';
    if (character === ' ' || character === '\t') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === "'") {
      const end = line.indexOf("'", at + 1);
      if (end < 0) throw new SyntaxError("a ' that does not end");
      word = (word ?? '') + line.slice(at + 1, end);
      at = end;
    } else if (character === '"') {
      const { text, end } = doubleQuoted(line, at + 1);
      if (text === undefined) return undefined;
      word = (word ?? '') + text;
      at = end;
    } else if (character === '\\') {
      at += 1;
      if (at >= line.length) throw new SyntaxError('a \\ with nothing after it');
      word = (word ?? '') + line[at];
    } else if (shellOnly.test(character)) {
      return undefined;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** What stands in double quotes, from `at` to `end`; no text where a shell would replace something in it. */
function doubleQuoted(line: string, at: number): { text: string | undefined; end: number } {
  let text = '';
  let replaced = false;
  for (let end = at; end < line.length; end++) {
    const character = line[end] ?? '';
    if (character === '"') return { text: replaced ? undefined : text, end };
    if (character === '\\' && /["\\$`]/.test(line[end + 1] ?? '')) {
      end += 1;
      text += line[end];
    } else {
      replaced ||= character === '$' || character === '`';
      text += character;
    }
  }
  throw new SyntaxError('a " that does not end');
}
