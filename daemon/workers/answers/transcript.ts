/** What a worker's own record of a conversation says of one prompt. */
export interface Told {
  /** The last thing that it said in that turn. */
  answer: string | undefined;
  /** The record says that the turn is over. */
  complete: boolean;
  /** The folder that the conversation is about, where the record says so. */
  cwd: string | undefined;
}

export type TranscriptKind = 'codex' | 'claude' | 'gemini';

/** Where a worker keeps its records: below one of its variables' folder, or below the home folder. */
export const transcriptPlaces: Record<TranscriptKind, { variable: string; below: string; inHome: string }> = {
  codex: { variable: 'CODEX_HOME', below: 'sessions', inHome: '.codex/sessions' },
  claude: { variable: 'CLAUDE_CONFIG_DIR', below: 'projects', inHome: '.claude/projects' },
  gemini: { variable: 'GEMINI_CLI_HOME', below: '.gemini/tmp', inHome: '.gemini/tmp' },
};

/** A clock may be read a little before the other. */
const slackMs = 5000;

/**
 * The turn of the prompt `text` that began at `since` (ms since 1970) or later, from the record's lines; undefined where
 * there is none. Lines that are not understood, those of later versions say, are passed over.
 */
export function turnOf(kind: TranscriptKind, lines: readonly string[], text: string, since: number): Told | undefined {
  const read = readers[kind];
  const wanted = squeezed(text);
  let told: Told | undefined;
  let cwd: string | undefined;
  for (const line of lines) {
    const value = parse(line);
    if (!value) continue;
    const event = read(value);
    cwd ??= event.cwd;
    if (event.prompt !== undefined) {
      const at = Date.parse(words(value['timestamp']));
      const ours = contains(event.prompt, wanted) && !(at < since - slackMs);
      // The next prompt ends the turn that was looked for; the same text again is another turn.
      if (told && !told.complete && !ours) told.complete = true;
      if (ours) told = { answer: undefined, complete: false, cwd };
      else if (told) return { ...told, cwd };
    } else if (told) {
      if (event.answer !== undefined) told.answer = event.continues ? (told.answer ?? '') + event.answer : event.answer;
      if (event.over) told.complete = true;
    }
  }
  return told && { ...told, cwd };
}

interface Event {
  prompt?: string;
  answer?: string;
  /** The answer is a further part of the one before. */
  continues?: boolean;
  over?: boolean;
  cwd?: string | undefined;
}

type Json = Record<string, unknown>;

const readers: Record<TranscriptKind, (line: Json) => Event> = {
  codex(line) {
    const payload = object(line['payload']);
    const type = words(payload['type']);
    if (line['type'] === 'session_meta') return { cwd: words(payload['cwd']) || undefined };
    if (line['type'] === 'event_msg') return { over: type === 'task_complete' || type === 'turn_aborted' };
    if (line['type'] !== 'response_item' || type !== 'message') return {};
    const text = partsText(payload['content'], ['input_text', 'output_text']);
    if (payload['role'] === 'assistant') return { answer: text };
    // What codex adds of its own stands in tags.
    return payload['role'] === 'user' && !/^\s*<\w+>/.test(text) ? { prompt: text } : {};
  },

  claude(line) {
    const message = object(line['message']);
    const cwd = words(line['cwd']) || undefined;
    if (line['isSidechain'] === true || line['isMeta'] === true) return { cwd };
    if (line['type'] === 'system') return { cwd, over: line['subtype'] === 'turn_duration' };
    const { content } = message;
    const text = typeof content === 'string' ? content : partsText(content, ['text']);
    if (line['type'] === 'user') return text === '' ? { cwd } : { cwd, prompt: text };
    if (line['type'] !== 'assistant' || text === '') return { cwd };
    return { cwd, answer: text };
  },

  gemini(line) {
    const { content } = line;
    const text = typeof content === 'string' ? content : partsText(content, undefined);
    if (line['type'] === 'user') return text === '' ? {} : { prompt: text };
    return line['type'] === 'gemini' && text !== '' ? { answer: text } : {};
  },
};

/** Texts of those parts that have one; of the named types where types are named. */
function partsText(content: unknown, types: readonly string[] | undefined): string {
  if (!Array.isArray(content)) return '';
  return content
    .map(object)
    .filter((part) => !types || types.includes(words(part['type'])))
    .map((part) => words(part['text']))
    .join('');
}

function parse(line: string): Json | undefined {
  if (line === '') return undefined;
  try {
    return object(JSON.parse(line));
  } catch (error) {
    // A line that is still being written.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function words(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A worker may put a long paste into tags of its own. */
function contains(prompt: string, wanted: string): boolean {
  const found = squeezed(prompt);
  return found === wanted || (found.includes(wanted) && /^<\w+/.test(prompt.trim()));
}

function squeezed(text: string): string {
  return text.replace(/\s+/g, '');
}
