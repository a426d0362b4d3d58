import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { wakeSchema } from '../../shared/protocol/wake-methods.ts';
import { readIfThere, writeAtomically } from './files.ts';
import type { Home } from './home.ts';

/** A gateway elsewhere: where it is and how to know it. */
const gatewayTargetSchema = v.object({
  /** `wss://host:port`, best first. */
  urls: v.array(v.string()),
  /** SHA-256 of its certificate (DER), hex; null: its certificate is checked the usual way. */
  fingerprint: v.nullable(v.string()),
  /** Its admission secret (base64url), where this machine was given one. */
  admit: v.optional(v.string()),
});
export type GatewayTarget = v.InferOutput<typeof gatewayTargetSchema>;

const onOff = v.picklist(['on', 'off']);

const configSchema = v.object({
  /** The gateway that this machine dials; absent: it embeds one. */
  gateway: v.optional(gatewayTargetSchema),
  /** Where this machine listens (and its embedded gateway), `host:port`; absent: on loopback, at `embeddedPort`. */
  listen: v.optional(v.string()),
  /** The free port that it found at its first start; kept, since other machines know it. */
  embeddedPort: v.optional(v.number()),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  /** Kinds of paths to other machines beside the gateway's, and looking for them on the local network. */
  direct: v.optional(onOff, 'on'),
  p2p: v.optional(onOff, 'on'),
  lan: v.optional(onOff, 'on'),
  /** Whether the daemon and the headless server start each other again after a crash. */
  guard: v.optional(onOff, 'on'),
  /** Most that ended sessions take on disk, bytes, and how many are kept. The oldest go first. */
  disk: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 2 ** 31),
  keepSessions: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 100),
  /** How other machines can be brought back, by their ids. */
  wake: v.optional(v.record(v.string(), wakeSchema), {}),
  /** The least role that may run commands here with `ask`. */
  ask: v.optional(v.picklist(['operator', 'admin']), 'admin'),
  /** What a program inside a worker's session may do on that session's own socket: see only, or also prompt others. */
  workers: v.optional(v.picklist(['see', 'prompt']), 'prompt'),
});
export type Config = v.InferOutput<typeof configSchema>;

type Change = { [K in keyof Config]?: Config[K] | undefined };

/** The machine's settings, in `config.json` of its home. */
export class ConfigStore {
  readonly #path: string;
  #config: Config;
  /** The file's content, as far as it is known; undefined: there is none. */
  #kept: string | undefined;

  constructor(home: Home) {
    this.#path = home.path('config.json');
    const text = readIfThere(this.#path);
    this.#kept = text;
    this.#config = text === undefined ? v.parse(configSchema, {}) : this.#parse(text);
  }

  get current(): Config {
    return this.#config;
  }

  /** Changes settings and keeps them; `undefined` removes one. */
  update(change: Change): Config {
    this.try(change);
    this.save();
    return this.#config;
  }

  /** Changes settings for now: whoever finds that they work saves them. */
  try(change: Change): void {
    const next = Object.fromEntries(
      Object.entries({ ...this.#config, ...change }).filter(([, value]) => value !== undefined),
    );
    this.#config = v.parse(configSchema, next);
  }

  /** What is kept already is not written again: a full disk is no reason to fail then. */
  save(): void {
    const text = `${JSON.stringify(this.#config, null, 2)}\n`;
    if (text === this.#kept) return;
    writeAtomically(this.#path, text);
    this.#kept = text;
  }

  #parse(text: string): Config {
    const hint = `Mend or remove ${this.#path}; it holds settings only, no keys.`;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (cause) {
      throw new NiiaError('io', `${this.#path} is not JSON`, hint, { cause });
    }
    const parsed = v.safeParse(configSchema, json);
    if (!parsed.success) {
      const issue = parsed.issues[0];
      throw new NiiaError('io', `${this.#path}: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`, hint);
    }
    return parsed.output;
  }
}
