import { command } from '../spec.ts';

/** Commands for other programs: shells and AI clients. */
export const otherSpecs = {
  mcp: command({
    group: 'More',
    summary: 'an MCP server on stdio, by which an AI client works with the machines and sessions',
    args: [],
    options: {
      'read-only': { kind: 'flag', help: 'offer only the tools that change nothing' },
      'allow-approvals': { kind: 'flag', help: "offer the tool that answers a worker's question for a yes or no" },
    },
    examples: ['niia mcp', 'niia mcp --read-only', 'claude mcp add niia -- niia mcp', 'codex mcp add niia -- niia mcp'],
    notes: ['The machine has to be up (niia up); until it is, the tools say so.'],
  }),
  completion: command({
    group: 'More',
    summary: 'print a completion script for a shell',
    args: ['SHELL'],
    argCompletes: [{ from: 'words', words: ['bash', 'zsh', 'fish'] }],
    options: {},
    examples: [
      'source <(niia completion bash)',
      'niia completion zsh > ~/.zfunc/_niia',
      'niia completion fish > ~/.config/fish/completions/niia.fish',
    ],
  }),
  __complete: command({
    group: 'More',
    summary: 'what could stand for the last of WORDS, one a line, with what it is after a tab',
    args: [],
    rest: 'WORDS',
    options: {},
    examples: [],
    hidden: true,
  }),
} as const;
