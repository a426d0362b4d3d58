import type { Home } from '../home/home.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { Deadline } from './deadline.ts';
import type { Output } from './output.ts';
import type { CommandSpec, Invocation } from './spec.ts';

/** What a command has at hand. */
export interface Context {
  readonly home: Home;
  readonly out: Output;
  readonly daemon: DaemonClient;
  readonly deadline: Deadline;
  /** What the process exits with when the command succeeds. */
  exitCode: number;
  /** What it exits with when the command fails, whatever the error's own code says. */
  failureCode: number | undefined;
}

/** A command: prints its result, or throws a NiiaError. */
export type Run<S extends CommandSpec> = (invocation: Invocation<S>, context: Context) => Promise<void>;
