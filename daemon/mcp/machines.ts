import type { MethodName, ParamsOf, ResultOf } from '../../shared/protocol/methods.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';

export interface AskOptions {
  /** Name or id; undefined: this machine. */
  machine: string | undefined;
  signal: AbortSignal;
  body?: Uint8Array;
  /** Milliseconds that the other side may take. */
  deadlineMs?: number;
}

/** The team's machines as the tools see them: whoever runs the server says how they are reached. */
export interface Machines {
  /** A question, asked again where the connection breaks meanwhile. */
  query<M extends MethodName>(method: M, params: ParamsOf<M>, options: AskOptions): Promise<ResultOf<M>>;
  /** A change, made once whatever breaks. */
  change<M extends MethodName>(method: M, params: ParamsOf<M>, options: AskOptions): Promise<ResultOf<M>>;
  /** A call with streams; a connection that breaks ends it. */
  call<M extends MethodName>(method: M, params: ParamsOf<M>, options: AskOptions): Promise<TypedCall<M>>;
}
