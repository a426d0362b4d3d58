import * as v from 'valibot';
import { method } from './method.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const short = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const id = v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/, 'not an id'));

/** What is said of a bundle before it is sent. */
export const offerSchema = v.object({
  /** SHA-256 of the file, hex. */
  hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'not a SHA-256')),
  size: v.pipe(count, v.minValue(1)),
  version: short,
  build: short,
  /** `linux-x64-glibc`: what its native parts are for; `any` where it brings none. */
  target: short,
  /** Versions of the packages with native parts. */
  natives: v.record(short, short),
});
export type Offer = v.InferOutput<typeof offerSchema>;

/** A statement that an admin signed: `body` is the exact JSON text, `sig` an Ed25519 signature, base64url. */
export const signedOfferSchema = v.object({
  body: v.pipe(v.string(), v.maxLength(4096)),
  sig: v.pipe(v.string(), v.maxLength(128)),
});

export const upgradeReportSchema = v.object({
  id: v.string(),
  /**
   * `receiving` its bundle, `trying` it (the daemon may be away meanwhile), or done: `upgraded`, `rolled_back`. `unknown`:
   * this machine knows of no such upgrade.
   */
  state: v.picklist(['receiving', 'trying', 'upgraded', 'rolled_back', 'unknown']),
  step: v.nullable(v.string()),
  from: v.nullable(v.object({ version: v.string(), build: v.string() })),
  to: v.nullable(v.object({ version: v.string(), build: v.string() })),
  /** Why it was rolled back. */
  reason: v.nullable(v.string()),
  sessionsKept: v.nullable(v.number()),
  /** From the moment the old daemon was told to stop until one answered again. */
  daemonDownMs: v.nullable(v.number()),
});
export type UpgradeReport = v.InferOutput<typeof upgradeReportSchema>;

export const installationInfoSchema = v.object({
  machine: v.string(),
  id: v.string(),
  version: v.string(),
  build: v.string(),
  target: v.string(),
  natives: v.record(v.string(), v.string()),
  node: v.string(),
  protocol: v.object({ min: v.number(), max: v.number() }),
});
export type InstallationInfo = v.InferOutput<typeof installationInfoSchema>;

/** How another version comes onto a machine. */
export const upgradeMethods = {
  /** What runs there, and on what: asked before a bundle is made. */
  'machine.installation': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: installationInfoSchema,
    down: v.never(),
    up: v.never(),
  }),
  /** Signs an offer for `machine` with this machine's key, for the next minutes. */
  'upgrade.sign': method({
    at: 'daemon',
    access: 'local',
    changes: true,
    params: v.object({ machine: short, offer: offerSchema, allowDowngrade: v.boolean() }),
    result: v.object({ signed: signedOfferSchema }),
    down: v.never(),
    up: v.never(),
  }),
  /** Accepts an offer, or says why not; `offset` is where an earlier transfer of the same bundle broke off. */
  'upgrade.begin': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ signed: signedOfferSchema }),
    result: v.object({ id, offset: count }),
    down: v.never(),
    up: v.never(),
  }),
  /** The bundle's bytes from `offset` on, on stream 0; those that came before a break are kept. */
  'upgrade.send': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ id, offset: count }),
    result: v.object({ received: count }),
    down: v.object({ received: count }),
    up: v.never(),
  }),
  /** Checks and unpacks the bundle, and hands over to the supervisor: the answer comes before the daemon goes. */
  'upgrade.apply': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ id }),
    result: v.object({ id }),
    down: v.never(),
    up: v.never(),
  }),
  'upgrade.status': method({
    at: 'daemon',
    access: 'admin',
    changes: false,
    params: v.object({ id }),
    result: upgradeReportSchema,
    down: v.never(),
    up: v.never(),
  }),
  /** Runs a trivial command in a terminal of its own, which no list shows: whether sessions could be started. */
  'headless.probe': method({
    at: 'headless',
    access: 'admin',
    changes: false,
    params: v.object({}),
    result: v.object({ generation: v.string(), output: v.string() }),
    down: v.never(),
    up: v.never(),
  }),
  /** Ends the server if nothing is live there; its ended sessions are for another one to show. */
  'headless.retire': method({
    at: 'headless',
    access: 'admin',
    changes: false,
    params: v.object({}),
    result: v.object({ retired: v.boolean(), pid: v.optional(v.number()) }),
    down: v.never(),
    up: v.never(),
  }),
  /** Takes over the ended sessions of servers that are no more; waits for that of generation `after` to be gone. */
  'headless.adopt': method({
    at: 'headless',
    access: 'admin',
    changes: false,
    params: v.object({ after: v.optional(v.string()) }),
    result: v.object({}),
    down: v.never(),
    up: v.never(),
  }),
} as const;
