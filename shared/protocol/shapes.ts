import * as v from 'valibot';

/** The shapes that commands print with `--json`, where more than one method has them. Fields may be added, never renamed. */

export const roles = ['viewer', 'operator', 'admin'] as const;
export const roleSchema = v.picklist(roles);
export type Role = v.InferOutput<typeof roleSchema>;

/** What a session is known to be doing. Without evidence it is `unknown`. */
export const sessionStates = ['starting', 'idle', 'busy', 'blocked', 'exited', 'unknown'] as const;
export const sessionStateSchema = v.picklist(sessionStates);
export type SessionState = v.InferOutput<typeof sessionStateSchema>;

/** The piece of evidence that a state was concluded from. */
export const stateEvidenceSchema = v.object({
  /** `program` (OSC 7501), `shell` (its marks), `report`, `title`, `screen` or `foreground`; later versions may have more. */
  source: v.string(),
  /** The rule that fired: `codex.title-busy`. */
  rule: v.string(),
  /** The bytes or the line that it was found in. */
  excerpt: v.string(),
  /** From 0 to 1. */
  confidence: v.number(),
});
export type StateEvidence = v.InferOutput<typeof stateEvidenceSchema>;

export const pathKinds = ['gateway', 'p2p', 'direct'] as const;
export type PathKind = (typeof pathKinds)[number];

/** Terminal size in character cells. */
const cells = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2000));
export const sizeSchema = v.object({ cols: cells, rows: cells });
export type Size = v.InferOutput<typeof sizeSchema>;

export const offsetSchema = v.pipe(v.number(), v.integer(), v.minValue(0));

/** A machine's or a session's name: what a person can type in a shell without quoting. */
export const nameSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name has 1 to 63 letters, digits, dots, dashes or underscores'),
);

export const sessionInfoSchema = v.object({
  id: v.string(),
  name: v.string(),
  /** The command line as one would type it; `argv` has the words. */
  command: v.string(),
  argv: v.array(v.string()),
  cwd: v.string(),
  pid: v.number(),
  cols: v.number(),
  rows: v.number(),
  state: sessionStateSchema,
  /** What the state was concluded from. */
  evidence: v.string(),
  /** The same in parts; null where nothing spoke for a state. Absent from servers of earlier versions. */
  stateEvidence: v.optional(v.nullable(stateEvidenceSchema)),
  /** Since when it is in this state. */
  stateSince: v.optional(v.string()),
  /** The kind of worker that its starter named, whose rules tell its state. */
  worker: v.optional(v.nullable(v.string())),
  /** Address, on its machine, of the socket that speaks for it only; a worker's has one. */
  socket: v.optional(v.nullable(v.string())),
  /** The title that the program set (OSC 0 or 2). */
  title: v.string(),
  createdAt: v.string(),
  endedAt: v.nullable(v.string()),
  exitCode: v.nullable(v.number()),
  signal: v.nullable(v.string()),
  viewers: v.number(),
  /** Bytes written by the session since its start: the offset of its next byte. */
  outputBytes: v.number(),
  /** Offset of the oldest byte that the log still holds. */
  firstOffset: v.number(),
  /** Machine id of whoever started it. */
  owner: v.string(),
  /** Why bytes are missing from the log (a full disk, say); null while it is whole. */
  logError: v.nullable(v.string()),
  /** It is started again where its server, or the machine, ends before it does. (These four: absent before 0.2.) */
  restore: v.optional(v.boolean()),
  /** The session in whose place it was started again, and the one that was started in its place. */
  restoredFrom: v.optional(v.nullable(v.string())),
  restoredAs: v.optional(v.nullable(v.string())),
  /** Why it was not started again. */
  notRestored: v.optional(v.nullable(v.string())),
  /** A lease holds it and has run out: it does nothing until that is put off. Absent where no lease holds it. */
  frozen: v.optional(v.boolean()),
});
export type SessionInfo = v.InferOutput<typeof sessionInfoSchema>;

export const machineInfoSchema = v.object({
  name: v.string(),
  id: v.string(),
  self: v.boolean(),
  online: v.boolean(),
  path: v.nullable(v.picklist(pathKinds)),
  /** Round trip on that path, milliseconds; null where none was measured. */
  rttMs: v.nullable(v.number()),
  /** Since when it is online over this path, or offline. */
  since: v.nullable(v.string()),
  lastSeen: v.nullable(v.string()),
  version: v.nullable(v.string()),
  /** `linux-x64` and the like. */
  platform: v.nullable(v.string()),
  headless: v.picklist(['running', 'stopped', 'unknown']),
  /** How many live sessions it has. */
  sessions: v.number(),
  role: roleSchema,
  labels: v.record(v.string(), v.string()),
});
export type MachineInfo = v.InferOutput<typeof machineInfoSchema>;

/** What a machine tells the others about itself. */
export const machineReportSchema = v.object({
  version: v.string(),
  platform: v.string(),
  headless: v.picklist(['running', 'stopped', 'unknown']),
  sessions: v.number(),
  labels: v.record(v.string(), v.string()),
});
export type MachineReport = v.InferOutput<typeof machineReportSchema>;

/** The link to one machine, and every path that it has or could have. */
export const pathReportSchema = v.object({
  state: v.picklist(['up', 'connecting', 'waiting', 'down']),
  path: v.nullable(v.picklist(pathKinds)),
  rttMs: v.nullable(v.number()),
  /** Since when the state and the path are these. */
  since: v.nullable(v.string()),
  /** The kind of path that is used whenever one works (`niia remote path M --pin`). */
  preferred: v.nullable(v.picklist(pathKinds)),
  candidates: v.array(
    v.object({
      kind: v.picklist(pathKinds),
      /** `active`, `standby`, `silent`, …; `trying`, `none` or `off` where there is no such path. */
      state: v.string(),
      rttMs: v.nullable(v.number()),
      /** Why it was chosen, or why not. */
      note: v.string(),
    }),
  ),
});
export type PathReport = v.InferOutput<typeof pathReportSchema>;

export const daemonStatusSchema = v.object({
  machine: v.object({ name: v.string(), id: v.string(), role: roleSchema, labels: v.record(v.string(), v.string()) }),
  version: v.string(),
  /** Tells builds of one version apart; absent: a daemon from before there was one. */
  build: v.optional(v.string()),
  platform: v.string(),
  pid: v.number(),
  home: v.string(),
  startedAt: v.string(),
  team: v.object({ id: v.string(), name: v.string(), members: v.number() }),
  gateway: v.object({
    /** Without its fragment. */
    url: v.nullable(v.string()),
    /** Whether this daemon runs it. */
    embedded: v.boolean(),
    state: v.picklist(['connected', 'connecting', 'refused', 'off']),
    since: v.nullable(v.string()),
    /** Why it is not connected. */
    error: v.nullable(v.string()),
  }),
  links: v.array(v.object({ machine: v.string(), id: v.string(), ...pathReportSchema.entries })),
  headless: v.array(
    v.object({
      generation: v.string(),
      pid: v.number(),
      version: v.string(),
      startedAt: v.string(),
      sessions: v.number(),
      rssBytes: v.number(),
    }),
  ),
  /** Headless servers that run and cannot be talked to, and why; absent: none, or a daemon from before it was told. */
  unreached: v.optional(
    v.array(v.object({ generation: v.string(), pid: v.number(), version: v.string(), error: v.string() })),
  ),
  /** Live sessions. */
  sessions: v.number(),
  /** What the home takes on disk, bytes; absent: a daemon from before it was told. */
  disk: v.optional(
    v.object({
      total: v.number(),
      sessions: v.number(),
      versions: v.number(),
      free: v.number(),
      /** Most that ended sessions take, and how many are kept. */
      cap: v.number(),
      capSessions: v.number(),
      /** What a person should know: that the disk is full, say. */
      warnings: v.array(v.string()),
    }),
  ),
});
export type DaemonStatus = v.InferOutput<typeof daemonStatusSchema>;
