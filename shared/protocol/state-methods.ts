import * as v from 'valibot';
import { method } from './method.ts';
import { sessionStateSchema, stateEvidenceSchema } from './shapes.ts';

const which = { session: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))) };
const found = { session: v.string(), machine: v.string() };

/** A program's own name for its states; `unknown` takes back what it reported. */
export const reportedStates = ['idle', 'busy', 'blocked', 'unknown'] as const;

const ageMs = v.number();

/** What a session is doing, and what programs inside say of it. */
export const stateMethods = {
  /** The state, all that speaks for one, and every rule with why it did not fire. */
  'session.explain': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object(which),
    result: v.object({
      ...found,
      state: sessionStateSchema,
      evidence: v.string(),
      stateEvidence: v.nullable(v.object({ ...stateEvidenceSchema.entries, ageMs })),
      /** Whose evidence counts at the moment. */
      setting: v.picklist(['program', 'shell', 'command', 'other', 'ended']),
      /** The program in the foreground; null where the system does not tell. */
      foreground: v.nullable(v.string()),
      title: v.string(),
      /** Name of the rules that count; null where none do. */
      rulesOf: v.nullable(v.string()),
      /** Milliseconds since the last output; null where there was none. */
      quietMs: v.nullable(v.number()),
      /** All that speaks for a state, the most trusted first. */
      speaks: v.array(v.object({ ...stateEvidenceSchema.entries, state: sessionStateSchema, ageMs })),
      rules: v.array(
        v.object({
          id: v.string(),
          source: v.string(),
          state: sessionStateSchema,
          fired: v.boolean(),
          /** What it was found in, or why it does not count. */
          why: v.string(),
          /** The user's file that it comes from; null for niia's own. */
          file: v.nullable(v.string()),
          seenWith: v.array(v.string()),
        }),
      ),
      /** Rule files that are left out, and why. */
      warnings: v.array(v.string()),
    }),
    down: v.never(),
    up: v.never(),
  }),
  /**
   * What a program inside a session says of itself, from a hook. It counts for the session whose token it shows, which
   * that session's environment has; so nobody speaks for another. It changes nothing but what is known, and a repeat
   * says the same: it has no record.
   */
  'session.report': method({
    at: 'headless',
    access: 'local',
    changes: false,
    params: v.object({
      session: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
      token: v.pipe(v.string(), v.maxLength(128)),
      state: v.picklist(reportedStates),
      message: v.optional(v.pipe(v.string(), v.maxLength(500))),
    }),
    result: v.object({ ...found, state: sessionStateSchema }),
    down: v.never(),
    up: v.never(),
  }),
} as const;
