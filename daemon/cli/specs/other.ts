import { command } from '../spec.ts';

/** Commands about the command line itself. */
export const otherSpecs = {
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
