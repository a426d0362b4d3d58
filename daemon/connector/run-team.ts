import type { MethodName, ParamsOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { MachineInfo } from '../../shared/protocol/shapes.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import type { CallOptions } from '../../shared/rpc/peer.ts';
import type { MachineRef } from './core/records.ts';

/** The machines of the team, as far as runs need them. */
export interface RunTeam {
  self(): MachineRef;
  list(): MachineInfo[];
  /** By name or id. Throws `no_such_machine`. */
  find(machine: string): MachineRef;
  /** Opens a call at another machine; rejects with `offline` where it cannot be reached now. */
  call<M extends MethodName>(
    machine: string,
    method: M,
    params: ParamsOf<M>,
    options?: CallOptions,
  ): Promise<TypedCall<M>>;
  /** Returns what ends the subscription. */
  onChange(listener: () => void): () => void;
}

/** How long a call may take that nobody waits for at a keyboard, milliseconds. */
const callMs = 15_000;
/** Bytes a second that even a bad path carries. */
const slowest = 50 << 10;

/** How long a call with so many bytes may take, milliseconds. */
export function timeFor(bytes: number): number {
  return callMs + Math.ceil((bytes / slowest) * 1_000);
}

/** Sends all of the input stream of a call. The answer may come before: that it is refused. */
export async function sendStream(
  call: Pick<TypedCall<MethodName>, 'sink' | 'result'>,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const sink = call.sink(streams.input);
  for await (const chunk of bytes) await Promise.race([sink.writeAll(chunk), call.result]);
  sink.end();
}
