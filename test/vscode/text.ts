export type TextPattern = string | RegExp;

/** A string must be the whole text, a pattern may match a part. */
export function matches(text: string, pattern: TextPattern): boolean {
  return typeof pattern === 'string' ? text === pattern : pattern.test(text);
}

/** What a person reads: the editor pads with no-break spaces. */
export function readable(text: string | null): string {
  return (text ?? '').replaceAll('\u00a0', ' ').trim();
}

/** An attribute selector of an action by its name, to which the editor may add a key in brackets. */
export function labelled(name: string): string {
  const quoted = name.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return `:is([aria-label="${quoted}"], [aria-label^="${quoted} ("])`;
}
