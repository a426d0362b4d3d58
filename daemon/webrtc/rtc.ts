import SimplePeer from 'simple-peer';
import * as v from 'valibot';
import type { IceServer } from '../../shared/protocol/ice-server.ts';
import type { P2pSignal } from './p2p-signal.ts';
import { p2pSignalSchema } from './p2p-signal.ts';

// Dynamically: Node 20 ends a process in which a statically imported CommonJS module throws, whoever catches it.
const { default: wrtc } = await import('wrtc');

export interface RtcEvents {
  /** To be carried to the other end. */
  signal(signal: P2pSignal): void;
  /** The data channel is open. */
  connected(): void;
  message(bytes: Uint8Array): void;
  /** Exactly once, and the last. `error` is absent after an orderly end by either side. */
  closed(error?: Error): void;
}

export interface RtcOptions {
  initiator: boolean;
  iceServers: readonly IceServer[];
  relayOnly: boolean;
}

/** The part of an RTCDataChannel that is used here. */
interface DataChannel {
  readonly bufferedAmount: number;
  readonly readyState: string;
  send(data: Uint8Array | string): void;
}

const label = 'niia';
/** Sent as text, which data never is: the sender has sent all. Closing a channel drops what has not left yet. */
const endOfData = 'end';
/** How long the other side may take to receive the rest after an orderly close, milliseconds. */
const endMs = 5_000;

/** One WebRTC connection with one ordered, reliable data channel. The only place that knows which library makes it. */
export class RtcConnection {
  readonly #peer: SimplePeer.Instance;
  readonly #events: RtcEvents;
  readonly #initiator: boolean;
  #described = false;
  #connected = false;
  #ending: NodeJS.Timeout | undefined;
  #closed = false;
  #error: Error | undefined;

  constructor({ initiator, iceServers, relayOnly }: RtcOptions, events: RtcEvents) {
    this.#events = events;
    this.#initiator = initiator;
    this.#peer = new SimplePeer({
      initiator,
      wrtc,
      channelName: label,
      config: { iceServers: [...iceServers], iceTransportPolicy: relayOnly ? 'relay' : 'all' },
      // Each message of the channel comes out as one, and text apart from bytes.
      objectMode: true,
    });
    this.#peer.on('signal', (data) => {
      // It also asks to renegotiate, which is for media.
      const signal = v.safeParse(p2pSignalSchema, data);
      if (signal.success && !this.#closed) this.#events.signal(signal.output);
    });
    this.#peer.on('connect', () => {
      this.#connected = true;
      this.#events.connected();
    });
    this.#peer.on('data', (data) => this.#receive(data));
    this.#peer.on('error', (error) => {
      this.#error ??= error;
    });
    this.#peer.on('close', () => this.#finish());
    this.#takeOneChannel();
  }

  /** Signals may be doubled and come in any order; those that do not fit the connection are left aside. */
  signal(signal: P2pSignal): void {
    if (this.#closed) return;
    const data = this.#usable(signal);
    try {
      if (data) this.#peer.signal(data);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #usable(signal: P2pSignal): SimplePeer.SignalData | undefined {
    if (signal.type === 'candidate') {
      const { candidate, sdpMid, sdpMLineIndex } = signal.candidate;
      if (!isUsable(candidate)) return undefined;
      return {
        type: 'candidate',
        candidate: { candidate, sdpMid: sdpMid ?? null, sdpMLineIndex: sdpMLineIndex ?? null },
      };
    }
    if (this.#described || (signal.type === 'offer') === this.#initiator) return undefined;
    this.#described = true;
    if (isForDataOnly(signal.sdp)) return { type: signal.type, sdp: withUsableCandidates(signal.sdp) };
    this.#fail(new Error(`the ${signal.type} is not for one data channel`));
    return undefined;
  }

  /**
   * Bytes that the channel holds because the SCTP association below takes no more at present. What that association
   * buffers itself (up to 2 MB) is not among them.
   */
  get bufferedAmount(): number {
    return this.#channel?.bufferedAmount ?? 0;
  }

  /**
   * Straight to the channel: simple-peer's own `write` looks for the end of backpressure every 150 ms only, since this
   * implementation has no `bufferedamountlow` event.
   */
  send(bytes: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    try {
      this.#channel?.send(bytes);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /**
   * Closes once the other side has all that was sent. The end of a channel itself is told by one datagram, which may be
   * lost; then the other side would not hear of it for half a minute.
   */
  end(): void {
    if (this.#closed || this.#ending) return;
    const channel = this.#channel;
    if (!this.#connected || channel?.readyState !== 'open') {
      this.destroy();
      return;
    }
    this.#ending = setTimeout(() => this.#peer.destroy(), endMs);
    channel.send(endOfData);
  }

  destroy(): void {
    if (!this.#closed) this.#peer.destroy();
  }

  get #channel(): DataChannel | undefined {
    const channel: unknown = Reflect.get(this.#peer, '_channel');
    return isDataChannel(channel) ? channel : undefined;
  }

  /** simple-peer would put each further channel that the other side opens in the place of the one before. */
  #takeOneChannel(): void {
    const native = nativeConnection(this.#peer);
    // Absent where its constructor threw, which is reported by the events.
    if (!native) return;
    const take = native.ondatachannel;
    native.ondatachannel = (event) => {
      native.ondatachannel = () => this.#fail(new Error('the other side opened a second data channel'));
      take?.call(native, event);
    };
  }

  #receive(data: unknown): void {
    if (this.#closed || this.#ending) return;
    if (data instanceof Uint8Array) this.#events.message(data);
    else if (data === endOfData) this.#peer.destroy();
    else this.#fail(new Error('the other side sent text'));
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.#peer.destroy();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#ending);
    this.#events.closed(this.#ending ? undefined : this.#error);
  }
}

interface NativeConnection {
  ondatachannel: ((this: unknown, event: unknown) => void) | null | undefined;
}

function nativeConnection(peer: SimplePeer.Instance): NativeConnection | undefined {
  // Not part of its types: `_pc` is the RTCPeerConnection.
  const native: unknown = Reflect.get(peer, '_pc');
  return typeof native === 'object' && native !== null ? (native as NativeConnection) : undefined;
}

function isDataChannel(value: unknown): value is DataChannel {
  return typeof value === 'object' && value !== null && 'bufferedAmount' in value && 'readyState' in value;
}

/** Whether a description asks for nothing but one data channel: media would cost us decoders and threads. */
function isForDataOnly(sdp: string): boolean {
  const media = [...sdp.matchAll(/^m=(\S*)/gm)].map(([, kind]) => kind);
  return media.length === 1 && media[0] === 'application';
}

/** A description may hold candidates too. */
function withUsableCandidates(sdp: string): string {
  return sdp.replace(/^a=candidate:[^\r\n]*(?:\r\n|\n|$)/gm, (line) => (isUsable(line.trim()) ? line : ''));
}

/** UDP only, and no name that would have to be looked up. */
function isUsable(candidate: string): boolean {
  const [, , protocol = '', , address = ''] = candidate.split(' ');
  return protocol.toLowerCase() === 'udp' && /^[0-9a-f:.]+$/i.test(address);
}
