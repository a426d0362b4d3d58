import * as v from 'valibot';
import { nameSchema } from '../shared/protocol/shapes.ts';

/** What is wrong with a name; undefined: nothing. */
export function nameProblem(text: string): string | undefined {
  const parsed = v.safeParse(nameSchema, text);
  return parsed.success ? undefined : `${parsed.issues[0].message}.`;
}

/** An invite's code as it may come from a mail or a terminal: white space is no part of it. */
export function bareCode(text: string): string {
  return text.replace(/\s+/g, '');
}

/** What is wrong with the form of an invite's code; undefined: nothing. Whether it is good only its inviter knows. */
export function codeProblem(text: string): string | undefined {
  const code = bareCode(text);
  if (code === '') return 'Paste the code that the other machine made.';
  if (!/^niia\d+-/.test(code)) return 'A code begins with niia1-';
  if (!/^niia\d+-[A-Za-z0-9_-]+$/.test(code)) return 'A code has letters, digits, dashes and underscores only.';
  return code.length < 100 ? 'This is too short for a code: is it whole?' : undefined;
}
