import { closeSync, createWriteStream, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { release, type } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { NiiaError } from '../../shared/errors.ts';
import type { Diagnosis } from '../../shared/protocol/doctor-methods.ts';
import { isErrno, readIfThere } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { build, platform, version } from '../home/version.ts';
import { installedService } from '../service/service.ts';
import { readRoster } from '../team/team-store.ts';
import { daemonFacts } from './daemon-facts.ts';
import { redact, secretsInEnvironment, textsIn } from './redact.ts';

export interface BundleOptions {
  home: Home;
  diagnosis: Diagnosis;
  /** Where to; replaced where it is there. */
  file: string;
  env: NodeJS.ProcessEnv;
}

/** The end of each log. */
const logBytes = 256 << 10;

/**
 * Writes a support bundle (tar.gz): what the doctor found, versions, status, settings, members, the ends of the logs. All
 * of it goes through one filter. What sessions show and who ran what is not in it: neither is looked at.
 */
export async function writeBundle({ home, diagnosis, file, env }: BundleOptions): Promise<void> {
  const known = new Set([...secretsOf(home), ...secretsInEnvironment(env)]);
  const { status } = await daemonFacts(home);
  const roster = rosterOf(home);
  const ids = new Set([build, ...(roster ? [roster.team.id, ...roster.members.map((member) => member.id)] : [])]);
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const system = { platform, node: process.version, system: `${type()} ${release()}` };
  const parts: Array<readonly [string, string]> = [
    ['doctor.json', json(diagnosis)],
    ['versions.json', json({ niia: version, build, ...system })],
    ['status.json', json(status ?? { daemon: 'does not answer' })],
    ['config.json', readIfThere(home.path('config.json')) ?? '{}\n'],
    ['roster.json', json(roster ?? null)],
    ['service.txt', serviceText(home)],
    ...(await logsOf(home)),
  ];
  const tar = pack();
  for (const [name, text] of parts) tar.entry({ name: `niia-support/${name}`, mode: 0o600 }, redact(text, known, ids));
  tar.finalize();
  const temporary = `${file}.${process.pid}.part`;
  try {
    await pipeline(tar, createGzip(), createWriteStream(temporary, { mode: 0o600, flags: 'wx' }));
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true });
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NiiaError('io', `the bundle could not be written to ${file}: ${why}`, 'Name another file.', { cause });
  }
}

/** All that is secret in the home, to be looked for wherever it may have got to. */
function secretsOf(home: Home): string[] {
  const identity = jsonIn(home.path('identity.json'));
  const name = field(identity, 'name');
  return [
    ...textsIn(identity).filter((text) => text !== name),
    // Times and roles in the tickets are no secrets, and stand in every log.
    ...textsIn(jsonIn(home.path('team', 'tickets.json'))).filter((text) => /^[A-Za-z0-9_-]{20,}$/.test(text)),
    ...textsIn(field(field(jsonIn(home.path('config.json')), 'gateway'), 'admit')),
    ...textsIn(readIfThere(home.path('gateway', 'admission'))?.trim()),
  ];
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function jsonIn(path: string): unknown {
  try {
    return JSON.parse(readIfThere(path) ?? 'null');
  } catch (error) {
    // Damaged: what is in it is unknown, and what looks like a key is removed anyway.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

interface Members {
  team: { id: string; name: string };
  members: Array<{ id: string; name: string; role: string }>;
}

/** Without keys and signatures. */
function rosterOf(home: Home): Members | undefined {
  try {
    const roster = readRoster(home.path('team', 'roster.json'));
    if (!roster) return undefined;
    const members = [...roster.members.values()].map(({ id, name, role }) => ({ id, name, role }));
    return { team: roster.team, members };
  } catch (error) {
    // The doctor's report says that it is damaged.
    if (error instanceof NiiaError) return undefined;
    throw error;
  }
}

function serviceText(home: Home): string {
  const service = installedService(home);
  return service ? (readIfThere(service.file) ?? '') : 'no service is installed\n';
}

async function logsOf(home: Home): Promise<Array<readonly [string, string]>> {
  const names = namesIn(home.root).filter((name) => /\.log(\.\d+)?$/.test(name));
  const logs = names.map((name) => [`logs/${name}`, endOf(join(home.root, name))] as const);
  const journal = await installedService(home)?.lastWords();
  return journal ? [...logs, ['logs/journal.log', journal]] : logs;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Whole lines: half of a secret would not be known for one. */
function endOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, logBytes));
    const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, size - bytes.length));
    return size > logBytes ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(file);
  }
}
