import * as v from 'valibot';
import { method } from './method.ts';
import { offsetSchema } from './shapes.ts';

/** Bytes of a name or path: text where they are UTF-8, else base64. */
export const nameBytesSchema = v.union([v.string(), v.object({ base64: v.string() })]);
export type NameBytes = v.InferOutput<typeof nameBytesSchema>;

/** A place in the order of a copy: which source, and the names below it. */
export const placeSchema = v.object({ source: offsetSchema, path: v.array(nameBytesSchema) });

const entry = {
  /** Number of the entry in this call, from 0. */
  n: offsetSchema,
  ...placeSchema.entries,
};
const times = { mode: v.pipe(v.number(), v.integer()), mtimeMs: v.number() };
/** It was longer at the end than at first, and these are the bytes that it had then. */
const grew = v.optional(v.boolean());
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

/** What the sender of a copy says, each with perhaps a body of bytes behind it. */
export const sentSchema = v.variant('t', [
  /** How much it will be in all, as soon as that is known. */
  v.object({ t: v.literal('total'), files: offsetSchema, bytes: offsetSchema }),
  v.object({ t: v.literal('folder'), ...entry, ...times }),
  /** The folder's entries are over: its mode and time are set. */
  v.object({ t: v.literal('leave'), ...entry, ...times }),
  v.object({ t: v.literal('link'), ...entry, mtimeMs: v.number(), target: nameBytesSchema }),
  /** A whole small file; its body. */
  v.object({ t: v.literal('small'), ...entry, ...times, sha256, grew }),
  /** A large file. The receiver says first where to begin. `id`: of this very state of the source. */
  v.object({
    t: v.literal('large'),
    ...entry,
    ...times,
    size: offsetSchema,
    id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  }),
  /** Where the large file begins: at the receiver's offset, or at 0. */
  v.object({ t: v.literal('from'), offset: offsetSchema }),
  /** The next bytes of the large file; its body. */
  v.object({ t: v.literal('data') }),
  /** The large file is whole. */
  v.object({ t: v.literal('end'), sha256, grew }),
  /** The large file cannot be read on, or was changed meanwhile. */
  v.object({ t: v.literal('broken'), message: v.string() }),
  /** An entry that is left out, and why; `warning` where that was to be expected. */
  v.object({ t: v.literal('without'), ...entry, message: v.string(), warning: v.boolean() }),
  v.object({ t: v.literal('done') }),
]);
export type Sent = v.InferOutput<typeof sentSchema>;

/** What the receiver answers. */
export const answeredSchema = v.variant('t', [
  /** It has the first bytes of the large file, with this hash. */
  v.object({ t: v.literal('want'), n: offsetSchema, offset: offsetSchema, sha256 }),
  /** Everything before entry `n` is done with, and so many bytes have been written in this call. */
  v.object({ t: v.literal('ack'), n: offsetSchema, bytes: offsetSchema }),
  /** An entry that could not be written. */
  v.object({ t: v.literal('failed'), n: offsetSchema, message: v.string() }),
  v.object({ t: v.literal('done') }),
]);
export type Answered = v.InferOutput<typeof answeredSchema>;

const path = v.pipe(nameBytesSchema);
const none = { down: v.never(), up: v.never() };

/**
 * Copies of files and folders. Sender and receiver talk in records on streams 0 and 1 (`daemon/files/copy-wire.ts`): the
 * asker's go up, the machine's come down. A copy that broke off goes on after the last entry that was done with.
 */
export const copyMethods = {
  /** What is at a path (relative to the user's home, `~` as well). */
  'copy.look': method({
    at: 'daemon',
    access: 'special',
    changes: false,
    params: v.object({ path }),
    result: v.object({
      /** Absolute; links above the last name are resolved, and the last one too where it leads somewhere. */
      path,
      kind: v.picklist(['file', 'folder', 'other', 'missing']),
    }),
    ...none,
  }),
  /** The asker sends: the sources become these names in a folder. */
  'copy.put': method({
    at: 'daemon',
    access: 'special',
    changes: true,
    params: v.object({ into: path, names: v.array(nameBytesSchema) }),
    result: v.object({}),
    ...none,
  }),
  /** The machine sends these files and folders, those after a place where it says. */
  'copy.get': method({
    at: 'daemon',
    access: 'special',
    changes: true,
    params: v.object({ sources: v.array(path), after: v.optional(placeSchema), total: v.optional(v.boolean()) }),
    result: v.object({}),
    ...none,
  }),
} as const;
