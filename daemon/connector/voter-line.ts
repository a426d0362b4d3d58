import type { ReplicaMessage } from './core/messages.ts';

/**
 * What goes to one voter of a run. A leader says again each second what was not answered yet, records and all: over a slow
 * line they would go out again and again beside each other. While records are on their way, what follows goes without any:
 * it says that the leader is there, and the next that is said after their arrival brings what is still missing.
 */
export class VoterLine {
  readonly #send: (message: ReplicaMessage) => Promise<void>;
  #records = 0;

  /** `send` resolves when the message has arrived, or cannot. */
  constructor(send: (message: ReplicaMessage) => Promise<void>) {
    this.#send = send;
  }

  send(message: ReplicaMessage): void {
    if (message.is !== 'append' || message.entries.length === 0) {
      void this.#send(message);
      return;
    }
    if (this.#records > 0) {
      void this.#send({ ...message, entries: [] });
      return;
    }
    this.#records++;
    void this.#send(message).finally(() => this.#records--);
  }
}
