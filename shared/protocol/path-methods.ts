import * as v from 'valibot';
import { method } from './method.ts';
import { pathKinds, pathReportSchema } from './shapes.ts';

const addressSchema = v.object({
  url: v.string(),
  /** `given` by a person, or `told` by the machine itself. */
  source: v.picklist(['given', 'told']),
  /** When the machine was last reached there; null: never. */
  lastGoodAt: v.nullable(v.string()),
});

/** What giving and taking away an address have in common. */
const addressChange = {
  at: 'daemon',
  access: 'admin',
  changes: true,
  params: v.object({ machine: v.string(), address: v.pipe(v.string(), v.maxLength(300)) }),
  result: v.object({ machine: v.string(), addresses: v.array(addressSchema) }),
  down: v.never(),
  up: v.never(),
} as const;

export const pathMethods = {
  /** The ways to another machine, with their figures. */
  'path.show': method({
    at: 'daemon',
    access: 'local',
    changes: false,
    params: v.object({ machine: v.string() }),
    result: v.object({
      machine: v.string(),
      id: v.string(),
      ...pathReportSchema.entries,
      addresses: v.array(addressSchema),
      /** Counts since this daemon's first path to the machine; null before. */
      counts: v.nullable(
        v.object({
          /** Moves of the data to another path. */
          switches: v.number(),
          /** Frames sent again. */
          resent: v.number(),
          /** Frames that were dropped: not understood, not authentic, repeated by somebody else. */
          malformed: v.number(),
          forged: v.number(),
          replayed: v.number(),
          /** Bytes that the machine has not acknowledged. */
          buffered: v.number(),
        }),
      ),
    }),
    down: v.never(),
    up: v.never(),
  }),
  /** This kind of path is used from now on whenever one works, both ways; null leaves it to the ranking again. */
  'path.pin': method({
    at: 'daemon',
    access: 'local',
    changes: true,
    params: v.object({ machine: v.string(), path: v.nullable(v.picklist(pathKinds)) }),
    result: v.object({}),
    down: v.never(),
    up: v.never(),
  }),
  'path.addAddress': method(addressChange),
  'path.removeAddress': method(addressChange),
  /**
   * From daemon to daemon: a signal for machine `to`, or, where that is another one, to be passed on to it. `from` is
   * set by whoever passes on. The signal is checked where it arrives.
   */
  'path.signal': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({ to: v.string(), from: v.optional(v.string()), signal: v.unknown() }),
    result: v.object({}),
    down: v.never(),
    up: v.never(),
  }),
} as const;
