/** Reading of JSON whose shape is another program's. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export function field(value: Json | undefined, name: string): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value[name] : undefined;
}

export function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

export function words(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** The text of a message's content: a string, or parts of which some have a text. */
export function textOf(content: Json | undefined): string {
  if (typeof content === 'string') return content;
  return list(content)
    .map((part) => words(field(part, 'text')))
    .filter((part) => part !== '')
    .join('\n');
}
