import { NiiaError } from '../../shared/errors.ts';
import type { Size } from '../../shared/protocol/shapes.ts';
import type {
  ConnectScreens,
  Drawing,
  FromScreens,
  Look,
  ScreenPort,
  ScreenText,
  Snapshot,
  ToScreens,
} from './screen-messages.ts';
import type { AskType, ScreenHandler, ScreenSource } from './session-screen.ts';
import { SessionScreen } from './session-screen.ts';

/** A screen that broke twice within this long is not drawn from the same output a third time. */
const replayAgainAfterMs = 10_000;
/** How much of the log a screen is drawn from again. */
const replayBytes = 1 << 20;

interface Request {
  resolve: (answer: FromScreens) => void;
  reject: (error: NiiaError) => void;
}

/** The screens of all sessions, and the one place that draws them; when that breaks down, it is started anew. */
export class Screens {
  readonly #connect: ConnectScreens;
  #port: ScreenPort | undefined;
  readonly #screens = new Map<number, SessionScreen>();
  readonly #requests = new Map<number, Request>();
  #nextScreen = 1;
  #nextRequest = 1;
  #brokeAt = Number.NEGATIVE_INFINITY;

  constructor(connect: ConnectScreens) {
    this.#connect = connect;
  }

  /** A screen that is drawn from `log`, from `offset` on. Whoever opens it disposes of it. */
  open(log: ScreenSource, size: Size, offset: number, handler: ScreenHandler, scrollback?: number): SessionScreen {
    const number = this.#nextScreen++;
    const screen = new SessionScreen(
      log,
      size,
      offset,
      handler,
      {
        post: (message) => this.#post({ ...message, screen: number }),
        ask: (type, scrollback) => this.#ask(number, type, scrollback),
        disposed: () => this.#screens.delete(number),
      },
      scrollback,
    );
    this.#screens.set(number, screen);
    return screen;
  }

  async close(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    for (const screen of [...this.#screens.values()]) screen.dispose();
    this.#failRequests(new NiiaError('cancelled', 'the headless server is ending'));
    await port?.close();
  }

  #post(message: ToScreens): void {
    if (!this.#port) {
      // Whoever is disposed of needs no new thread for it.
      if (message.type === 'dispose') return;
      this.#port = this.#connect({
        message: (answer) => this.#receive(answer),
        broken: (error) => this.#restart(error),
      });
    }
    this.#port.post(message);
  }

  #ask(screen: number, type: AskType, scrollback: number): Promise<ScreenText | Snapshot | Look | Drawing> {
    const request = this.#nextRequest++;
    return new Promise((resolve, reject) => {
      this.#requests.set(request, {
        reject,
        resolve: (answer) => {
          if (answer.type === 'text') resolve(answer.text);
          else if (answer.type === 'snapshot') resolve(answer.snapshot);
          else if (answer.type === 'look') resolve(answer.look);
          else if (answer.type === 'drawing') resolve(answer.drawing);
          else if (answer.type === 'failed')
            reject(new NiiaError('internal', `no ${type} of the screen: ${answer.message}`));
        },
      });
      this.#post({ type, screen, request, scrollback });
    });
  }

  #receive(message: FromScreens): void {
    const screen = this.#screens.get(message.screen);
    switch (message.type) {
      case 'drawn':
        screen?.drawnUpTo(message.offset);
        return;
      case 'title':
        screen?.handler.titled(message.title);
        return;
      case 'reply':
        screen?.handler.reply(message.bytes);
        return;
      case 'rows':
        screen?.handler.rows?.(message);
        return;
      default: {
        const request = this.#requests.get(message.request);
        this.#requests.delete(message.request);
        request?.resolve(message);
      }
    }
  }

  #restart(error: Error): void {
    if (!this.#port) return;
    this.#port = undefined;
    const now = performance.now();
    const replay = now - this.#brokeAt > replayAgainAfterMs ? replayBytes : 0;
    this.#brokeAt = now;
    this.#failRequests(new NiiaError('internal', `the screens broke down and are drawn anew: ${error.message}`));
    for (const screen of this.#screens.values()) screen.drawAgain(replay);
  }

  #failRequests(error: NiiaError): void {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(error);
  }
}
