import type { Driver } from './driver.ts';
import { generic } from './generic.ts';

/**
 * A command that is run once for each prompt: the prompt is its input, its output the answer, its exit code decides. It
 * has no terminal; nothing is ever typed.
 */
export const exec: Driver = { ...generic, name: 'exec', question: () => undefined };
