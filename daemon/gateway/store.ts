import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Log } from '../home/log.ts';
import { Roster, signedStatementSchema } from '../team/roster.ts';

const rosterFileSchema = v.object({ statements: v.array(signedStatementSchema) });
const seenSchema = v.record(v.string(), v.record(v.string(), v.string()));
const secretBytes = 16;

/** What a gateway keeps in its state folder: the chain of each team, when machines were last seen, its admission secret. */
export class GatewayStore {
  readonly dir: string;
  readonly #log: Log;
  readonly #rosters = new Map<string, Roster>();
  readonly #seen: Map<string, Map<string, string>>;
  #seenChanged = false;

  constructor(dir: string, log: Log) {
    this.dir = dir;
    this.#log = log;
    try {
      mkdirSync(join(dir, 'rosters'), { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new NiiaError(
        'io',
        `the state folder ${dir} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
        'Name a folder that you may write to: --state DIR',
        { cause },
      );
    }
    this.#seen = new Map(
      Object.entries(this.#read('seen.json', seenSchema) ?? {}).map(([team, machines]) => [
        team,
        new Map(Object.entries(machines)),
      ]),
    );
  }

  /** Lets a first machine of a new team in. 16 bytes, made once. */
  admissionSecret(): Uint8Array {
    const path = join(this.dir, 'admission');
    const text = readIfThere(path);
    if (text !== undefined) {
      const secret = Buffer.from(text.trim(), 'base64url');
      if (secret.length === secretBytes) return secret;
      this.#log.warn('the admission secret was damaged; a new one was made', { path });
    }
    const secret = randomBytes(secretBytes);
    writeAtomically(path, `${secret.toString('base64url')}\n`);
    return secret;
  }

  /** The team's chain; undefined for a team that this gateway does not know. */
  roster(team: string): Roster | undefined {
    const held = this.#rosters.get(team);
    if (held || !/^[0-9a-f]{32}$/.test(team)) return held;
    const file = this.#read(join('rosters', `${team}.json`), rosterFileSchema);
    if (!file) return undefined;
    try {
      const roster = Roster.verify(file.statements);
      if (roster.team.id !== team) throw new NiiaError('not_a_member', `it is the roster of team ${roster.team.id}`);
      this.#rosters.set(team, roster);
      return roster;
    } catch (error) {
      this.#log.warn('a kept roster is not valid and is ignored', { team, error });
      return undefined;
    }
  }

  /** From now on this is the team's chain. On a full disk it is so until the gateway ends; members bring it again. */
  keep(roster: Roster): void {
    this.#rosters.set(roster.team.id, roster);
    const seen = this.#seen.get(roster.team.id);
    for (const machine of seen?.keys() ?? []) if (!roster.members.has(machine)) seen?.delete(machine);
    try {
      writeAtomically(
        join(this.dir, 'rosters', `${roster.team.id}.json`),
        `${JSON.stringify({ statements: roster.statements })}\n`,
      );
    } catch (error) {
      this.#log.error('a roster could not be written', { team: roster.team.id, error });
    }
  }

  /** The team is not known from now on. */
  forget(team: string): void {
    this.#rosters.delete(team);
    this.#seenChanged = this.#seen.delete(team) || this.#seenChanged;
    if (/^[0-9a-f]{32}$/.test(team)) rmSync(join(this.dir, 'rosters', `${team}.json`), { force: true });
  }

  /** ISO 8601; null: never. */
  lastSeen(team: string, machine: string): string | null {
    return this.#seen.get(team)?.get(machine) ?? null;
  }

  saw(team: string, machine: string, at: string): void {
    const machines = this.#seen.get(team) ?? new Map<string, string>();
    machines.set(machine, at);
    this.#seen.set(team, machines);
    this.#seenChanged = true;
  }

  /** Writes the last-seen times where they have changed. They are not worth failing for. */
  flush(): void {
    if (!this.#seenChanged) return;
    this.#seenChanged = false;
    const json = Object.fromEntries([...this.#seen].map(([team, machines]) => [team, Object.fromEntries(machines)]));
    try {
      writeAtomically(join(this.dir, 'seen.json'), `${JSON.stringify(json)}\n`);
    } catch (error) {
      this.#log.warn('last-seen times could not be written', { error });
    }
  }

  #read<S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> | undefined {
    const path = join(this.dir, name);
    const text = readIfThere(path);
    if (text === undefined) return undefined;
    try {
      return v.parse(schema, JSON.parse(text));
    } catch (error) {
      this.#log.warn('a damaged file is ignored', { path, error });
      return undefined;
    }
  }
}
