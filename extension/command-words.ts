import { NiiaError } from '../shared/errors.ts';

/**
 * A command line as the words of a program and its arguments: split at blanks, with quotes and backslashes as a shell
 * takes them, and nothing else of a shell. Throws `usage` for a quote that is not closed.
 */
export function commandWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  const add = (text: string): void => {
    word = (word ?? '') + text;
  };
  for (let at = 0; at < line.length; at++) {
    const char = line.charAt(at);
    const next = line.charAt(at + 1);
    if (quote === "'") {
      if (char === "'") quote = undefined;
      else add(char);
    } else if (char === '\\' && next !== '' && (quote === undefined || next === '"' || next === '\\')) {
      add(next);
      at++;
    } else if (quote === '"') {
      if (char === '"') quote = undefined;
      else add(char);
    } else if (char === '"' || char === "'") {
      quote = char;
      add('');
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      add(char);
    }
  }
  if (quote !== undefined) throw new NiiaError('usage', `the quote ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}
