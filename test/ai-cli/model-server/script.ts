/** What the model is asked in one request, whatever the API. */
export interface Turn {
  api: 'responses' | 'gemini' | 'anthropic';
  /** The newest text of the user, without what the CLI adds of its own. */
  prompt: string;
  /** What came of the command that the model asked for, where that is what the request brings. */
  toolResult: string | undefined;
  /** Names of all tools that the CLI offers. */
  tools: readonly string[];
  /** The name by which a shell command is asked for; undefined: the CLI offers none. */
  shellTool: string | undefined;
}

/** What the model does about it. */
export type Answer =
  | {
      kind: 'text';
      /** Streamed in these pieces. */
      pieces: readonly string[];
      /** Before the first piece, and before each later one. */
      thinkMs?: number;
      pauseMs?: number;
    }
  | { kind: 'command'; say: string; command: string }
  | { kind: 'error'; status: 429 | 500 };

export type Script = (turn: Turn) => Answer;

export function text(...pieces: string[]): Answer {
  return { kind: 'text', pieces };
}

/** Repeats the prompt; a request to run something is `run: COMMAND`, which is then reported. */
export const echo: Script = ({ prompt, toolResult }) => {
  if (toolResult !== undefined) return text(`The command said: ${toolResult.trim().slice(0, 200)}`);
  const command = /^run: (.*)$/m.exec(prompt)?.[1];
  if (command !== undefined) return { kind: 'command', say: 'I will run a command.', command };
  return text(`You said: ${prompt}`);
};

/** What CLIs put around the words of the user. */
const additions = ['session_context', 'system-reminder', 'environment_context', 'user_instructions'];

export function withoutAdditions(content: string): string {
  return additions
    .reduce((rest, tag) => rest.replaceAll(new RegExp(`<${tag}>[\\s\\S]*?</${tag}>`, 'g'), ''), content)
    .trim();
}
