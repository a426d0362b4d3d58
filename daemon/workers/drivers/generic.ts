import type { Driver } from './driver.ts';
import { lineQuestion, shell } from './shell.ts';

/** Any other program: what is known of terminals holds, and nothing else. */
export const generic: Driver = {
  ...shell,
  name: 'generic',
  submit: { ...shell.submit, enterAfterMs: 150, unbracketed: 'single', seenBy: 'state', settleMs: 1000 },
  question: lineQuestion,
};
