import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import {
  directProof,
  directLimits as limits,
  type ToDialler,
  type ToListener,
  toDiallerSchema,
  toListenerSchema,
} from '../../shared/protocol/direct.ts';
import { agreeOnVersion, protocolRange, refuseOtherVersions } from '../../shared/protocol/version.ts';
import { HandedOver } from '../../shared/transport/handed-over.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { machineId, verifySignature } from '../team/identity.ts';

/** Frames that may come before the link takes the transport over. */
const earlyBytes = 1 << 20;

export interface DialGreeting {
  /** SHA-256 of the certificate that the listener showed, hex. */
  certificate: string;
  team: string;
  /** This machine. */
  self: { id: string; signKey: string; sign(message: Uint8Array): string };
  /** The machine that is wanted. */
  to: string;
}

/** The dialler's side. Resolves with the transport once the listener lets it in; rejects and closes it otherwise. */
export function greetListener(transport: Transport, { certificate, team, self, to }: DialGreeting): Promise<Transport> {
  return greet(transport, (json, { say, done }) => {
    const message = parse(toDiallerSchema, json);
    switch (message.type) {
      case 'challenge': {
        agreeOnVersion(message.protocol, 'the other machine');
        const proved = { team, machine: self.id, to };
        const sig = self.sign(directProof(message.nonce, certificate, proved));
        say({ type: 'hello', protocol: protocolRange, ...proved, signKey: self.signKey, sig });
        return;
      }
      case 'refused':
        throw NiiaError.fromWire(message.error);
      case 'welcome':
        done();
    }
  });
}

export interface ListenGreeting {
  certificate: string;
  team: string;
  /** This machine's id. */
  self: string;
}

/**
 * The listener's side. Resolves with the machine that dialled, whose key is proved; whether it is a member is for the
 * link to find out, since it may have been added a moment ago.
 */
export async function greetDialler(
  transport: Transport,
  { certificate, team, self }: ListenGreeting,
): Promise<{ machine: string; transport: Transport }> {
  const nonce = randomBytes(24).toString('base64url');
  let machine = '';
  const greeted = greet(
    transport,
    (json, { say, done }) => {
      const hello = parse(toListenerSchema, json);
      agreeOnVersion(hello.protocol, 'the other machine');
      const proof = directProof(nonce, certificate, hello);
      if (machineId(hello.signKey) !== hello.machine || !verifySignature(hello.signKey, proof, hello.sig)) {
        throw new NiiaError('denied', 'the dialling machine did not prove its key');
      }
      // One answer for both, so that a stranger learns neither who is here nor in which team.
      if (hello.to !== self || hello.team !== team) {
        throw new NiiaError('no_such_machine', 'another machine is at this address');
      }
      machine = hello.machine;
      say({ type: 'welcome' });
      done();
    },
    true,
  );
  transport.send(encode({ type: 'challenge', protocol: protocolRange, nonce }));
  return { transport: await greeted, machine };
}

interface Step {
  say(message: ToDialler | ToListener): void;
  /** The greeting is over: what follows is the link's. */
  done(): void;
}

/** Reads JSON messages until `step` is done; what it throws ends the greeting, and is told to the other side where `tell`. */
function greet(transport: Transport, step: (json: unknown, step: Step) => void, tell = false): Promise<Transport> {
  return new Promise((resolve, reject) => {
    let handed: HandedOver | undefined;
    let failed = false;
    const fail = (error: NiiaError): void => {
      if (failed || handed) return;
      failed = true;
      clearTimeout(timer);
      if (tell) transport.send(encode({ type: 'refused', error: error.toJSON() }));
      transport.close(error);
      reject(error);
    };
    const timer = setTimeout(() => fail(new NiiaError('timeout', 'the greeting took too long')), limits.greetingMs);
    const steps: Step = {
      say: (message) => transport.send(encode(message)),
      done: () => {
        clearTimeout(timer);
        handed = new HandedOver(transport, earlyBytes);
        resolve(handed);
      },
    };
    transport.start({
      message: (bytes) => {
        if (handed) {
          handed.receive(bytes);
          return;
        }
        if (failed) return;
        try {
          const json = decode(bytes);
          refuseOtherVersions(json, 'the other machine');
          step(json, steps);
        } catch (error) {
          fail(NiiaError.from(error));
        }
      },
      writable: () => handed?.drained(),
      closed: (error) => {
        fail(new NiiaError('offline', 'the connection ended during the greeting', undefined, { cause: error }));
        handed?.end(error);
      },
    });
  });
}

function encode(message: ToDialler | ToListener): Uint8Array {
  return Buffer.from(JSON.stringify(message));
}

function decode(bytes: Uint8Array): unknown {
  if (bytes.length > limits.message) throw new NiiaError('too_large', 'a greeting message is too large');
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString());
  } catch (cause) {
    throw new NiiaError('bad_request', 'a greeting message is not JSON', undefined, { cause });
  }
}

function parse<S extends v.GenericSchema>(schema: S, json: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  throw new NiiaError('bad_request', `a greeting message is not valid: ${parsed.issues[0].message}`);
}
