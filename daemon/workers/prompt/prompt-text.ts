import { NiiaError } from '../../../shared/errors.ts';

/** The longest prompt; longer texts belong in a file that the prompt names. Bytes. */
export const longestPrompt = 256 << 10;

export interface PromptText {
  text: string;
  /** How many control characters were taken out. */
  removed: number;
}

/**
 * A prompt as it may be typed: line ends as line feeds, without what would steer the program instead of being read
 * (C0, DEL, C1; tabs and line feeds stay), without line ends after it. Throws `usage` where nothing is left, where it is not UTF-8, or
 * where it is too long.
 */
export function promptText(bytes: Uint8Array): PromptText {
  if (bytes.length > longestPrompt) {
    throw new NiiaError(
      'too_large',
      `the prompt has ${bytes.length} bytes; at most ${longestPrompt} are typed`,
      'Put it into a file, and name the file in the prompt.',
    );
  }
  let given: string;
  try {
    given = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new NiiaError('usage', 'the prompt is not valid UTF-8', 'niia write types any bytes.', { cause });
  }
  const lines = given.replaceAll(/\r\n?/g, '\n');
  let removed = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const text = lines.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, () => {
    removed++;
    return '';
  });
  const trimmed = text.replace(/\n+$/, '');
  if (trimmed.trim() === '') throw new NiiaError('usage', 'the prompt is empty');
  return { text: trimmed, removed };
}

const pasteBegins = '\x1b[200~';
const pasteEnds = '\x1b[201~';

/** What is typed for a text, without Enter. `lines`: a program that takes no pastes reads each line by itself. */
export function typedBytes(text: string, bracketed: boolean, unbracketed: 'lines' | 'single'): Uint8Array {
  if (bracketed) return Buffer.from(`${pasteBegins}${text.replaceAll('\n', '\r')}${pasteEnds}`);
  if (unbracketed === 'single' && text.includes('\n')) {
    throw new NiiaError(
      'failed',
      'the program takes no pasted text at the moment, and a prompt of several lines would be submitted line by line',
      'Give it in one line.',
    );
  }
  // A tab would be a key of the program's.
  return Buffer.from(text.replaceAll('\t', '    ').replaceAll('\n', '\r'));
}
