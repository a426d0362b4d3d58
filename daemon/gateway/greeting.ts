import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { ToGateway } from '../../shared/protocol/gateway.ts';
import { gatewayClose, helloProof } from '../../shared/protocol/gateway.ts';
import { agreeOnVersion, protocolRange } from '../../shared/protocol/version.ts';
import { RosterAssembly } from '../mesh/gateway-wire.ts';
import { TransportClosed } from '../mesh/transport-closed.ts';
import { machineId, verifySignature } from '../team/identity.ts';
import type { SignedStatement } from '../team/roster.ts';
import { Roster } from '../team/roster.ts';
import type { Line, LineUser } from './line.ts';

const anyHelloSchema = v.object({ protocol: v.object({ min: v.number(), max: v.number() }) });

export type Hello = Extract<ToGateway, { type: 'hello' }>;

/** What a greeting needs to know, and where its outcome goes. */
export interface Doorkeeper {
  readonly software: string;
  /** SHA-256 of the gateway's certificate, hex; empty where it has none. */
  readonly fingerprint: string;
  roster(team: string): Roster | undefined;
  /** Whether a team that the gateway does not know may come in, by the admission secret shown. */
  admits(team: string, secret: string | undefined): boolean;
  /** The machine proved its key and is a member by `roster`, which is the gateway's, or won over it. */
  member(line: Line, hello: Hello, roster: Roster): void;
  guest(line: Line, ticket: string): void;
  /** The line ended, or was refused, before it came so far. */
  left(line: Line): void;
  refused(code: string): void;
}

/** From the challenge to the decision who is at the other end of a line. */
export class Greeting implements LineUser {
  readonly #door: Doorkeeper;
  readonly #nonce = randomBytes(32).toString('base64url');
  readonly #assembly = new RosterAssembly();
  #line: Line | undefined;
  /** Proved its key, but is no member by what the gateway knows: waits for its chain. */
  #proved: Hello | undefined;

  constructor(door: Doorkeeper) {
    this.#door = door;
  }

  begin(line: Line): void {
    this.#line = line;
    const { software, fingerprint } = this.#door;
    line.send({ type: 'challenge', protocol: protocolRange, software, nonce: this.#nonce, gateway: fingerprint });
    line.start();
  }

  /** A machine of another version may say hello in a way that is not known here; where its range stands always is. */
  json(value: unknown): void {
    const hello = v.safeParse(anyHelloSchema, value);
    if (hello.success) this.#orRefuse(() => agreeOnVersion(hello.output.protocol, 'the machine'));
  }

  control(message: ToGateway): void {
    this.#orRefuse((line) => this.#step(line, message));
  }

  relay(): void {
    this.#line?.end(new TransportClosed(gatewayClose.protocol, 'bad_request', 'a relay message before the greeting'));
  }

  ended(): void {
    if (this.#line) this.#door.left(this.#line);
  }

  #orRefuse(step: (line: Line) => void): void {
    const line = this.#line;
    if (!line) return;
    try {
      step(line);
    } catch (error) {
      const why = NiiaError.from(error);
      this.#door.refused(why.code);
      line.refuse(why);
    }
  }

  #step(line: Line, message: ToGateway): void {
    if (this.#proved) {
      if (message.type !== 'roster') throw outOfTurn(message.type);
      const statements = this.#assembly.add(message);
      if (statements) this.#admit(line, this.#proved, statements);
    } else if (message.type === 'hello') {
      this.#prove(message);
      this.#hello(line, message);
    } else if (message.type === 'guest') this.#door.guest(line, message.ticket);
    else throw outOfTurn(message.type);
  }

  #prove(hello: Hello): void {
    const proof = helloProof(this.#nonce, this.#door.fingerprint, hello.team, hello.machine);
    if (machineId(hello.signKey) !== hello.machine || !verifySignature(hello.signKey, proof, hello.sig)) {
      throw new NiiaError('denied', `${hello.machine} did not prove its key`);
    }
  }

  #hello(line: Line, hello: Hello): void {
    const roster = this.#door.roster(hello.team);
    if (!roster && !this.#door.admits(hello.team, hello.admit)) {
      throw new NiiaError(
        'denied',
        'this gateway does not serve that team',
        'Give the whole URL that niia gateway printed: niia up --gateway URL',
      );
    }
    if (roster?.members.has(hello.machine)) {
      this.#door.member(line, hello, roster);
      return;
    }
    // A chain that is no longer than ours cannot make it a member, unless ours loses a fork to it; see Roster.
    this.#proved = hello;
    line.send({ type: 'roster-wanted' });
  }

  #admit(line: Line, hello: Hello, statements: SignedStatement[]): void {
    const ours = this.#door.roster(hello.team);
    // A stranger's own chain is not worth checking ten thousand signatures: only members know how the team's begins.
    if (ours && statements[0]?.sig !== ours.statements[0]?.sig) throw notAMember(ours);
    const theirs = Roster.verify(statements);
    const wins = theirs.team.id === hello.team && (!ours || ours.losesTo(theirs));
    const roster = wins ? theirs : ours;
    if (!roster?.members.has(hello.machine)) throw notAMember(roster);
    this.#door.member(line, hello, roster);
  }
}

export function notAMember(roster: Roster | undefined): NiiaError {
  return new NiiaError(
    'not_a_member',
    roster ? `this machine is no member of the team ${roster.team.name}` : 'this machine is no member of that team',
    'Ask a member for an invite: niia invite',
  );
}

function outOfTurn(type: string): NiiaError {
  return new NiiaError('bad_request', `"${type}" is out of turn in the greeting`);
}
