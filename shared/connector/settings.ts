import { parseDuration } from '../duration.ts';
import { defaultLease, defaultLimits, defaultOutput, defaultPick, defaultRetry, failoverReasons } from './defaults.ts';
import type {
  Environment,
  FailReason,
  Lease,
  Limits,
  MachineChoice,
  OutputRule,
  Sandbox,
  WorkerDefinition,
} from './definition.ts';
import type { FileSettings } from './file-schema.ts';
import type { Problems } from './problems.ts';
import type { Path } from './source.ts';

/** What one level of a file says, the worker's own or one above it, and where that stands. */
export interface Level {
  settings: FileSettings;
  path: Path;
}

type SettingKey = keyof FileSettings;
type Found<T> = { value: T; path: Path };

/** Longer than any run lasts, and short enough for every timer. */
const longestMs = 365 * 24 * 3_600_000;

/** The settings of one worker: of several levels that say something, the nearest to it holds. */
export class Settings {
  readonly #levels: readonly Level[];
  readonly #problems: Problems;

  /** `levels`: the worker's own first, the file's top last. */
  constructor(levels: readonly Level[], problems: Problems) {
    this.#levels = levels;
    this.#problems = problems;
  }

  get path(): Path {
    return this.#levels[0]?.path ?? [];
  }

  find<K extends SettingKey>(key: K): Found<NonNullable<FileSettings[K]>> | undefined {
    return this.#found(key)[0];
  }

  /** What each level says of it, the nearest first. */
  #found<K extends SettingKey>(key: K): Array<Found<NonNullable<FileSettings[K]>>> {
    return this.#levels.flatMap(({ settings, path }) => {
      const value = settings[key];
      return value === undefined || value === null ? [] : [{ value, path: [...path, key] }];
    });
  }

  machine(): MachineChoice {
    // Null is a choice of its own here, unlike everywhere else.
    const level = this.#levels.find(({ settings }) => settings.machine !== undefined);
    return machineChoice(level?.settings.machine ?? null);
  }

  environment(worker: string): Environment {
    const sessions = this.#found('session');
    const of = <K extends keyof NonNullable<FileSettings['session']>>(key: K) => {
      const found = sessions.find(({ value }) => value[key] !== undefined);
      return found === undefined ? undefined : { value: found.value[key], path: [...found.path, key] };
    };
    const env = Object.assign({}, ...sessions.map(({ value }) => value.env ?? {}).reverse());
    return {
      cwd: of('cwd')?.value ?? null,
      worktree: this.#worktree(of('worktree'), worker),
      sandbox: sandboxOf(of('sandbox')?.value),
      scratchpad: this.#scratchpad(),
      env: textTable(env),
      permission: of('permission')?.value ?? null,
      resume: this.#worktree(of('resume'), worker),
    };
  }

  #worktree(found: Found<string | undefined> | undefined, worker: string): string | null {
    if (found?.value === undefined) return null;
    const name = found.value.replaceAll('{worker}', worker);
    if (!/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)*$/.test(name) || /\.\.|\.lock(\/|$)|\.$/.test(name)) {
      this.#problems.at(
        found.path,
        `"${found.value}" cannot be a branch: letters, digits, dots, dashes, underscores and slashes; {worker} is replaced`,
      );
    }
    return name;
  }

  #scratchpad(): boolean {
    for (const { settings, path } of this.#levels) {
      const session = settings.session?.scratchpad;
      const said = settings.scratchpad ?? session;
      if (said === undefined) continue;
      if (typeof said === 'string') {
        const at = settings.scratchpad === undefined ? ['session', 'scratchpad'] : ['scratchpad'];
        this.#problems.warn([...path, ...at], `a run has one scratchpad: the name "${said}" is not used`);
      }
      return said !== false;
    }
    return false;
  }

  output(): OutputRule {
    const found = this.find('output');
    if (!found) return defaultOutput;
    if (found.value === 'text') return defaultOutput;
    if (found.value === 'json') return { ...defaultOutput, json: true };
    const { text, file, json, files, maxBytes } = found.value;
    if (text && file !== undefined) {
      this.#problems.at([...found.path, 'file'], 'the output is the answer (text) or a file, not both', 'key');
    }
    return {
      file: file ?? null,
      json: json === undefined || json === false ? null : json,
      files: list(files),
      maxBytes: maxBytes ?? defaultOutput.maxBytes,
    };
  }

  failoverOn(): FailReason[] {
    return [...new Set(this.find('failoverOn')?.value ?? failoverReasons)];
  }

  retry(): WorkerDefinition['retry'] {
    const levels = this.#found('retry').map(({ value, path }) => ({
      value: typeof value === 'number' ? { attempts: value } : value,
      path,
    }));
    const attempts = levels.find(({ value }) => value.attempts !== undefined)?.value.attempts;
    return {
      attempts: attempts ?? defaultRetry.attempts,
      backoffMs: this.#time(levels, 'backoff') ?? defaultRetry.backoffMs,
    };
  }

  lease(): Lease {
    const levels = this.#found('lease');
    const lease = {
      ttlMs: this.#time(levels, 'ttl') ?? defaultLease.ttlMs,
      renewMs: this.#time(levels, 'renew') ?? defaultLease.renewMs,
      lostAfterMs: this.#time(levels, 'lostAfter') ?? defaultLease.lostAfterMs,
    };
    const [nearest] = levels;
    if (nearest && !(lease.renewMs > 0 && lease.renewMs < lease.ttlMs && lease.ttlMs < lease.lostAfterMs)) {
      this.#problems.at(
        nearest.path,
        `renew (${lease.renewMs} ms) must be shorter than ttl (${lease.ttlMs} ms), and ttl than lostAfter (${lease.lostAfterMs} ms)`,
        'key',
      );
    }
    return lease;
  }

  limits(): Limits {
    const levels = this.#found('limits');
    const turnMs =
      this.#time(levels, 'turn') ??
      this.#found('session').find(({ value }) => value.timeout_ms !== undefined)?.value.timeout_ms ??
      levels.find(({ value }) => value.timeout_per_agent_ms !== undefined)?.value.timeout_per_agent_ms;
    return {
      startMs: this.#time(levels, 'start') ?? defaultLimits.startMs,
      turnMs: turnMs ?? defaultLimits.turnMs,
      stallMs: this.#time(levels, 'stall') ?? defaultLimits.stallMs,
      totalMs: this.#time(levels, 'total') ?? defaultLimits.totalMs,
      bytes: levels.find(({ value }) => value.bytes !== undefined)?.value.bytes ?? defaultLimits.bytes,
    };
  }

  /** What the nearest level that has one says, in milliseconds. */
  #time<K extends string>(levels: ReadonlyArray<Found<{ [key in K]?: string | 0 | undefined }>>, key: K) {
    const found = levels.find(({ value }) => value[key] !== undefined);
    const said = found?.value[key];
    if (found === undefined || said === undefined) return undefined;
    const ms = said === 0 ? 0 : parseDuration(said);
    // The schema lets only times through.
    if (ms !== undefined && ms <= longestMs && (ms > 0 || key === 'stall' || key === 'backoff')) return ms;
    this.#problems.at([...found.path, key], `must be more than 0 and at most a year, not "${said}"`);
    return undefined;
  }
}

export function machineChoice(said: FileSettings['machine'] | null): MachineChoice {
  if (said === undefined || said === null) return null;
  if (typeof said === 'string') return { by: 'name', name: said };
  return {
    by: 'labels',
    labels: textTable(said.labels ?? {}),
    has: list(said.has),
    pick: said.pick ?? defaultPick,
  };
}

export function list(oneOrMore: string | readonly string[] | undefined): string[] {
  return typeof oneOrMore === 'string' ? [oneOrMore] : [...(oneOrMore ?? [])];
}

export function textTable(table: Readonly<Record<string, string | number | boolean>>): Record<string, string> {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, String(value)]));
}

function sandboxOf(
  said: boolean | { network?: boolean | undefined; write?: string[] | undefined } | undefined,
): Sandbox | null {
  if (said === undefined || said === false) return null;
  return said === true ? { network: false, write: [] } : { network: said.network ?? false, write: said.write ?? [] };
}
