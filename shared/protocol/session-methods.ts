import * as v from 'valibot';
import { method } from './method.ts';
import { nameSchema, offsetSchema, sessionInfoSchema, sessionStateSchema, sizeSchema } from './shapes.ts';

/** Streams of a call, by number. */
export const streams = { input: 0, output: 1, errors: 2 } as const;

/**
 * Which session: an id (`local-1`) or a name. Absent: the session named `main`; else the only live one; else, where the
 * method says `create`, a new shell named `main`; else an error that lists the sessions.
 */
const which = { session: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))) };
/** The folder a session created by the way starts in; absent, the machine's home folder. */
const createIn = { cwd: v.optional(v.string()) };
const found = { session: v.string(), machine: v.string() };
const ended = { exitCode: v.nullable(v.number()), signal: v.nullable(v.string()) };

export const attachEventSchema = v.variant('type', [
  /** First. Output follows from `offset`; input is known up to `inputOffset` of this client. */
  v.object({
    type: v.literal('attached'),
    ...found,
    name: v.string(),
    offset: offsetSchema,
    inputOffset: offsetSchema,
    ...sizeSchema.entries,
  }),
  /**
   * The next `length` bytes of the output stream are not output but a picture: bytes that, written to a fresh terminal
   * of this size, draw the screen and its scrollback as they were at `offset`; live output goes on from there. `gap`
   * says which output the viewer will not see; null when it asked for a picture.
   */
  v.object({
    type: v.literal('snapshot'),
    offset: offsetSchema,
    length: offsetSchema,
    gap: v.nullable(v.object({ from: offsetSchema, to: offsetSchema })),
    ...sizeSchema.entries,
  }),
  /** The session's size from here on in the output. */
  v.object({ type: v.literal('size'), ...sizeSchema.entries }),
  /** Input of this client is typed up to here. */
  v.object({ type: v.literal('typed'), inputOffset: offsetSchema }),
  v.object({ type: v.literal('title'), title: v.string() }),
  /** From the asker's own daemon: the link to the machine has had no path for a while. Nothing is lost; attach again. */
  v.object({ type: v.literal('waiting') }),
]);
export type AttachEvent = v.InferOutput<typeof attachEventSchema>;

export const sessionMethods = {
  'session.new': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object({
      name: v.optional(nameSchema),
      cwd: v.optional(v.string()),
      env: v.optional(v.record(v.string(), v.string())),
      cols: v.optional(sizeSchema.entries.cols),
      rows: v.optional(sizeSchema.entries.rows),
      /** Absent or empty: the user's shell. */
      argv: v.optional(v.array(v.string())),
      /** `viewer`: the viewer who typed last sets the size. `fixed`: a worker's session keeps its own. */
      sizing: v.optional(v.picklist(['viewer', 'fixed'])),
      /** Start it again where the headless server, or the machine, ends before it does. */
      restore: v.optional(v.boolean()),
      /** Which program it runs, where its command does not say: the rules of this name tell its state. */
      worker: v.optional(nameSchema),
      /** With `worker` and without `argv`: further words for the command that its driver starts. */
      args: v.optional(v.array(v.string())),
      /** Tell the worker of niia's MCP server. */
      mcp: v.optional(v.boolean()),
      /** Binds it to a lease from its start: frozen from then on (milliseconds since boot), unless `session.lease` puts that off. */
      lease: v.optional(v.number()),
    }),
    /** `restore` is absent from a machine that cannot do so. */
    result: v.object({ ...found, name: v.string(), pid: v.number(), restore: v.optional(v.boolean()) }),
    down: v.never(),
    up: v.never(),
  }),
  'session.list': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({ sessions: v.array(sessionInfoSchema) }),
    down: v.never(),
    up: v.never(),
  }),
  /** The list now and after every change (at most ten times a second on average; a state after a quiet time within 25 ms), until cancelled. */
  'session.watch': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({}),
    down: v.object({ sessions: v.array(sessionInfoSchema) }),
    up: v.never(),
  }),
  'session.kill': method({
    at: 'headless',
    access: 'special',
    changes: true,
    /** SIGHUP to the process group, SIGKILL where it is still there after two seconds; or the given signal only. */
    params: v.object({ ...which, signal: v.optional(v.pipe(v.string(), v.regex(/^SIG[A-Z0-9]+$/))) }),
    result: v.object({ ...found, state: sessionStateSchema, ...ended }),
    down: v.never(),
    up: v.never(),
  }),
  'session.rename': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object({ ...which, name: nameSchema }),
    result: v.object({ ...found, name: v.string() }),
    down: v.never(),
    up: v.never(),
  }),
  /** Types the request's body, exactly these bytes. The request's key makes a repeat return the first receipt. */
  'session.write': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object({ ...which, ...createIn, create: v.optional(v.boolean()) }),
    result: v.object({
      ...found,
      bytes: v.number(),
      receipt: v.string(),
      /** Output offset before the bytes were typed: what they caused comes after it. */
      outputOffset: offsetSchema,
    }),
    down: v.never(),
    up: v.never(),
  }),
  /** The screen as text, with up to `scrollback` lines above it. */
  'session.read': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({ ...which, scrollback: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))) }),
    result: v.object({
      ...found,
      /** The screen is drawn from the output up to here. */
      offset: offsetSchema,
      ...sizeSchema.entries,
      cursor: v.object({ x: v.number(), y: v.number() }),
      lines: v.array(v.string()),
      state: sessionStateSchema,
      evidence: v.optional(v.string()),
    }),
    down: v.never(),
    up: v.never(),
  }),
  /** Raw output from `since` on stream `output`; with `follow` until the session ends or the caller cancels. */
  'session.tail': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({ ...which, since: v.optional(offsetSchema), follow: v.optional(v.boolean()) }),
    result: v.object({ ...found, offset: offsetSchema, firstOffset: offsetSchema, ...ended }),
    down: v.variant('type', [
      /** First: where the bytes start. */
      v.object({ type: v.literal('start'), ...found, offset: offsetSchema }),
      /** The log no longer holds these bytes; the stream goes on at `to`. */
      v.object({ type: v.literal('gap'), from: offsetSchema, to: offsetSchema }),
    ]),
    up: v.never(),
  }),
  /** Waits for one of the conditions; the deadline is the request's. */
  'session.wait': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({
      ...which,
      until: v.variant('type', [
        /** Neither output nor input for `ms` milliseconds. */
        v.object({ type: v.literal('idle'), ms: v.pipe(v.number(), v.minValue(0)) }),
        /** A line of the screen now, or of the text that comes; with `since`, of the output from that offset. */
        v.object({ type: v.literal('match'), pattern: v.string(), since: v.optional(offsetSchema) }),
        v.object({ type: v.literal('exit') }),
        v.object({ type: v.literal('state'), state: sessionStateSchema }),
      ]),
    }),
    result: v.object({
      ...found,
      state: sessionStateSchema,
      evidence: v.string(),
      offset: offsetSchema,
      match: v.nullable(v.string()),
      ...ended,
    }),
    down: v.never(),
    up: v.never(),
  }),
  /**
   * A viewer: its keystrokes on stream `input`, what to show on stream `output`. `client` names the viewer over
   * reconnects: with `since` its output goes on there, with `inputOffset` its input is typed once, whatever is resent.
   */
  'session.attach': method({
    at: 'headless',
    access: 'special',
    changes: true,
    params: v.object({
      ...which,
      ...createIn,
      create: v.optional(v.boolean()),
      client: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
      readOnly: v.optional(v.boolean()),
      since: v.optional(offsetSchema),
      /** Offset, in everything this client ever typed, of the first byte on the input stream. */
      inputOffset: v.optional(offsetSchema),
      /** Lines of scrollback in the first picture; default 1000. */
      scrollback: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
      ...sizeSchema.entries,
    }),
    result: v.object({ ...found, offset: offsetSchema, reason: v.picklist(['exited', 'detached']), ...ended }),
    down: attachEventSchema,
    up: v.object({ type: v.literal('resize'), ...sizeSchema.entries }),
  }),
  'headless.info': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({
      generation: v.string(),
      pid: v.number(),
      version: v.string(),
      startedAt: v.string(),
      sessions: v.number(),
      rssBytes: v.number(),
    }),
    down: v.never(),
    up: v.never(),
  }),
  /** Ends every session and then the server. */
  'headless.stop': method({
    at: 'headless',
    access: 'admin',
    changes: true,
    params: v.object({}),
    result: v.object({ ended: v.number() }),
    down: v.never(),
    up: v.never(),
  }),
} as const;
