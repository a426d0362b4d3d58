import { constants } from 'node:os';
import { NiiaError } from '../../../shared/errors.ts';
import type { askSignals } from '../../../shared/protocol/ask-methods.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { ResumingAsk } from './resuming-ask.ts';

/** As with ssh: the remote command's own codes stay below. */
export const ownFailure = 255;
/** A second Ctrl-C within this time is meant for us. */
const secondSignalMs = 1_000;

const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Signals that reach us are meant for the commands; a second one of a kind soon after is meant for us. */
export function passSignalsOn(asked: readonly ResumingAsk[]): () => void {
  const last = new Map<(typeof askSignals)[number], number>();
  const stops = passedOn.map((signal) => {
    const pass = (): void => {
      const now = performance.now();
      const second = now - (last.get(signal) ?? Number.NEGATIVE_INFINITY) < secondSignalMs;
      last.set(signal, now);
      for (const one of asked) {
        if (second) one.giveUp(new NiiaError('cancelled', `${signal} twice: the command was given up`));
        else one.signal(signal);
      }
    };
    process.on(signal, pass);
    return () => process.off(signal, pass);
  });
  return () => {
    for (const stop of stops) stop();
  };
}

/** As a shell says it: 128 and the number of the signal that ended it. */
export function exitCodeOf({ exitCode, signal }: ResultOf<'machine.ask'>): number {
  if (exitCode !== null) return exitCode;
  const number = Object.entries(constants.signals).find(([name]) => name === signal)?.[1];
  return number === undefined ? ownFailure : 128 + number;
}
