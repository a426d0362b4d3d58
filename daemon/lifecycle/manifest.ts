import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';

/** The bundle's first entry; it says what the others are. */
export const manifestName = 'manifest.json';
export const bundleEnding = '.niiabundle';

/** Bounds of what a bundle may hold: several times what one needs. */
export const bundleLimits = {
  manifestBytes: 4 << 20,
  files: 5_000,
  unpackedBytes: 512 << 20,
  bytes: 256 << 20,
} as const;

const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'not a SHA-256'));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
export const buildSchema = v.pipe(v.string(), v.regex(/^[0-9a-z.-]{1,64}$/, 'not a build id'));
/** A version as a folder can be named after it: semver's characters only. */
export const versionSchema = v.pipe(
  v.string(),
  v.regex(/^\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z.-]{1,64})?(\+[0-9A-Za-z.-]{1,64})?$/, 'not a version'),
);
export const nativeVersionsSchema = v.record(v.pipe(v.string(), v.maxLength(64)), v.pipe(v.string(), v.maxLength(64)));

const manifestSchema = v.object({
  format: v.literal(1),
  name: v.literal('niia'),
  version: versionSchema,
  build: buildSchema,
  /** What its native parts are for, `linux-x64-glibc`; `any` where it has none and needs those that are there. */
  target: v.pipe(v.string(), v.maxLength(64)),
  /** Versions of the packages with native parts, whether it brings them or needs them. */
  natives: nativeVersionsSchema,
  /** The oldest major version of Node that runs it. */
  node: count,
  protocol: v.object({ min: count, max: count }),
  files: v.record(v.string(), v.object({ size: count, sha256: hash, mode: v.picklist([0o644, 0o755]) })),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

/** Reads a manifest that anybody may have written. Throws `bad_bundle`. */
export function parseManifest(bytes: Uint8Array): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw badBundle(`its ${manifestName} is not JSON`, cause);
  }
  const format = typeof json === 'object' && json !== null && 'format' in json ? json.format : undefined;
  if (typeof format === 'number' && format > 1) {
    throw badBundle(`it is of format ${format}, made by a later niia; this one reads format 1`);
  }
  const parsed = v.safeParse(manifestSchema, json);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw badBundle(`its ${manifestName}: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`);
  }
  const { files } = parsed.output;
  const paths = Object.keys(files);
  if (paths.length > bundleLimits.files) throw badBundle(`it has ${paths.length} files`);
  for (const path of paths) checkPath(path);
  const folded = new Set(paths.map((path) => path.toLowerCase()));
  if (folded.size < paths.length) throw badBundle('two of its files differ by upper and lower case only');
  const unpacked = Object.values(files).reduce((sum, { size }) => sum + size, 0);
  if (unpacked > bundleLimits.unpackedBytes) throw badBundle(`it would unpack to ${unpacked} bytes`);
  if (!files['dist/niia.js'] || !files['package.json']) throw badBundle('it has no dist/niia.js or no package.json');
  return parsed.output;
}

/** Whether a bundle may hold a file of this name: below the folders of an installation, without any detour. Throws `bad_bundle`. */
export function checkPath(path: string): void {
  const [top = '', ...below] = path.split('/');
  const plain =
    path.length <= 200 && [top, ...below].every((part) => /^[@\w][\w@.+-]*$/.test(part) && !part.endsWith('.'));
  const known = below.length === 0 ? ['package.json', 'LICENSE'].includes(top) : ['dist', 'node_modules'].includes(top);
  if (!plain || !known) throw badBundle(`it holds ${JSON.stringify(path.slice(0, 200))}, which has no place in it`);
}

export function badBundle(why: string, cause?: unknown): NiiaError {
  return new NiiaError(
    'bad_bundle',
    `this is no bundle that can be installed: ${why}`,
    'Make one with: niia bundle',
    cause === undefined ? undefined : { cause },
  );
}
