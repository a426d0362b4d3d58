/** What the words of a command line may be. Help, parsing and completion all come from these descriptions. */

/** What a shell may offer for a value. */
export type Completes =
  | { from: 'machines' | 'sessions' | 'files' | 'folders' }
  | { from: 'words'; words: readonly string[] };

export interface OptionSpec {
  /** `flag` has no value, `text` has one, `list` may be given several times. */
  kind: 'flag' | 'text' | 'list';
  /** Name of the value in help texts. */
  value?: string;
  help: string;
  completes?: Completes;
}

export interface CommandSpec {
  /** Heading that it stands under in `niia help`. */
  group: 'This machine' | 'The team' | 'Sessions' | 'Workers' | 'Runs' | 'Other machines' | 'More';
  summary: string;
  /** Names of the arguments in their order; `[NAME]` may be left out. */
  args: readonly string[];
  argCompletes?: readonly Completes[];
  /** Name of the words after `--`, for commands that take some. */
  rest?: string;
  /** Name of its arguments where it takes any number of them; they come as `rest`. */
  words?: string;
  options: Readonly<Record<string, OptionSpec>>;
  examples: readonly string[];
  /** What a reader of the help must know beyond the options. */
  notes?: readonly string[];
  /** It takes `--machine M`, and `niia remote X M` is the same command. */
  remote?: boolean;
  /** Its arguments name the machines: `niia remote X` is the same command. */
  namesMachines?: boolean;
  /** Left out of help and completion. */
  hidden?: boolean;
}

/** What every command takes. */
export const commonOptions = {
  json: { kind: 'flag', help: 'print one JSON value (NDJSON with --follow); errors as JSON on stderr' },
  timeout: { kind: 'text', value: 'SECONDS', help: 'give up after this time (exit code 5)' },
  help: { kind: 'flag', help: 'show this help' },
} as const satisfies Record<string, OptionSpec>;

export const machineOption = {
  machine: {
    kind: 'text',
    value: 'M',
    help: 'the machine (name or id) to do it on; this one unless given',
    completes: { from: 'machines' },
  },
} as const satisfies Record<string, OptionSpec>;

/** Keeps the literal types of a description, from which the types of its values follow. */
export function command<const S extends CommandSpec>(spec: S): S {
  return spec;
}

export type OptionValues<O extends CommandSpec['options']> = {
  readonly [K in keyof O]: O[K]['kind'] extends 'flag'
    ? boolean
    : O[K]['kind'] extends 'list'
      ? readonly string[]
      : string | undefined;
};

export type ArgValues<A extends readonly string[]> = {
  readonly [K in keyof A]: A[K] extends `[${string}` ? string | undefined : string;
};

/** A command line after parsing. */
export interface Invocation<S extends CommandSpec> {
  readonly args: ArgValues<S['args']>;
  /** Where in the command line each argument stands (with `words`: each of those). */
  readonly places: readonly number[];
  readonly options: OptionValues<S['options']>;
  /** The words after `--`; undefined where there was no `--`. */
  readonly rest: readonly string[] | undefined;
  /** The machine to do it on; undefined: this one. */
  readonly machine: string | undefined;
  readonly json: boolean;
  readonly timeoutMs: number | undefined;
}
