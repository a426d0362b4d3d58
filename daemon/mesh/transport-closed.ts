import type { ErrorCode } from '../../shared/errors.ts';
import { NiiaError } from '../../shared/errors.ts';

/** Ends a transport with a WebSocket close code (RFC 6455, 7.4), which the other side sees as this same error. */
export class TransportClosed extends NiiaError {
  readonly closeCode: number;

  constructor(closeCode: number, code: ErrorCode, message: string, hint?: string) {
    super(code, message, hint);
    this.name = 'TransportClosed';
    this.closeCode = closeCode;
  }
}
