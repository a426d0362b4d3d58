/** What a worker's own record of a conversation says of one prompt. */
export interface Told {
  /** The last thing that it said in that turn. */
  answer: string | undefined;
  /** How the turn ended; undefined while the record does not say that it did. */
  end: 'over' | 'broken' | undefined;
}

/** What the conversation is about, where the record says so. */
export interface About {
  /** Its folder, or the SHA-256 of the folder's path. */
  folder?: string;
  folderHash?: string;
}

export type TranscriptKind = 'codex' | 'claude' | 'gemini';

/** Where a worker keeps its records: below one of its variables' folder, or below the home folder. */
export const transcriptPlaces: Record<TranscriptKind, { variable: string; below: string; inHome: string }> = {
  codex: { variable: 'CODEX_HOME', below: 'sessions', inHome: '.codex/sessions' },
  claude: { variable: 'CLAUDE_CONFIG_DIR', below: 'projects', inHome: '.claude/projects' },
  gemini: { variable: 'GEMINI_CLI_HOME', below: '.gemini/tmp', inHome: '.gemini/tmp' },
};

/** When a prompt was typed and when its turn was over, in ms since 1970. */
export interface Turn {
  text: string;
  since: number;
  until: number;
}

/**
 * Looks for one turn in a record that is read line by line. A prompt of the same text before or after it is another turn;
 * so is one that does not say when it was. Lines that are not understood, those of later versions say, are passed over.
 */
export class TurnSearch {
  readonly #read: (line: Json) => Event;
  readonly #wanted: string;
  readonly #turn: Turn;
  #about: About = {};
  #told: Told | undefined;
  #passed = false;

  constructor(kind: TranscriptKind, turn: Turn) {
    this.#read = readers[kind];
    this.#wanted = squeezed(turn.text);
    this.#turn = turn;
  }

  get told(): Readonly<Told> | undefined {
    return this.#told;
  }

  get about(): About {
    return this.#about;
  }

  take(line: string): void {
    if (this.#passed) return;
    const value = parse(line);
    if (!value) return;
    const event = this.#read(value);
    this.#about = { ...event.about, ...this.#about };
    if (event.prompt !== undefined) this.#prompt(event.prompt, Date.parse(words(value['timestamp'])));
    else if (this.#told) {
      if (event.answer !== undefined) this.#told.answer = event.answer;
      if ('end' in event) this.#told.end = event.end;
    }
  }

  #prompt(text: string, at: number): void {
    if (this.#told) {
      // The next prompt ends the turn that was looked for.
      this.#told.end ??= 'over';
      this.#passed = true;
      return;
    }
    const { since, until } = this.#turn;
    if (at >= since && at <= until && contains(text, this.#wanted)) this.#told = { answer: undefined, end: undefined };
  }
}

interface Event {
  prompt?: string;
  answer?: string;
  /** Given: how the turn stands from here on. */
  end?: Told['end'];
  about?: About;
}

type Json = Record<string, unknown>;

const readers: Record<TranscriptKind, (line: Json) => Event> = {
  codex(line) {
    const payload = object(line['payload']);
    const type = words(payload['type']);
    if (line['type'] === 'session_meta') return { about: folder(payload['cwd']) };
    if (line['type'] === 'event_msg') {
      if (type === 'turn_aborted' || type === 'error') return { end: 'broken' };
      return type === 'task_complete' ? { end: 'over' } : {};
    }
    if (line['type'] !== 'response_item' || type !== 'message') return {};
    const text = partsText(payload['content'], ['input_text', 'output_text']);
    if (payload['role'] === 'assistant') return { answer: text };
    // What codex adds of its own stands in tags.
    return payload['role'] === 'user' && !/^\s*<\w+>/.test(text) ? { prompt: text } : {};
  },

  claude(line) {
    const message = object(line['message']);
    const about = folder(line['cwd']);
    if (line['isSidechain'] === true || line['isMeta'] === true) return { about };
    if (line['type'] === 'system') return line['subtype'] === 'turn_duration' ? { about, end: 'over' } : { about };
    const { content } = message;
    const text = typeof content === 'string' ? content : partsText(content, ['text']);
    if (line['type'] === 'user') {
      if (/^\[Request interrupted by user/.test(text)) return { about, end: 'broken' };
      return text === '' ? { about } : { about, prompt: text };
    }
    if (line['type'] !== 'assistant' || text === '') return { about };
    return line['isApiErrorMessage'] === true ? { about, end: 'broken' } : { about, answer: text };
  },

  gemini(line) {
    const { content } = line;
    const text = typeof content === 'string' ? content : partsText(content, undefined);
    if (typeof line['projectHash'] === 'string') return { about: { folderHash: line['projectHash'] } };
    if (line['type'] === 'user') return text === '' ? {} : { prompt: text };
    if (line['type'] === 'error' || (line['type'] === 'info' && text === 'Request cancelled.'))
      return { end: 'broken' };
    if (line['type'] !== 'gemini') return {};
    // A message is written again with the tools that it calls: until their results are answered the turn goes on.
    const calls = Array.isArray(line['toolCalls']) && line['toolCalls'].length > 0;
    const end = calls || text === '' ? undefined : 'over';
    return text === '' ? { end } : { answer: text, end };
  },
};

function folder(value: unknown): About {
  return typeof value === 'string' && value !== '' ? { folder: value } : {};
}

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
