import { describe, expect, test } from 'vitest';
import { OutputLog } from '../../../daemon/headless/output-log.ts';
import type { ConnectScreens, ScreenPortHandler } from '../../../daemon/headless/screen-messages.ts';
import { Screens } from '../../../daemon/headless/screens.ts';
import { cleanup, numbered, screensHere, start, temporaryFolder } from './support.ts';

const size = { cols: 80, rows: 24 };
const nobody = { titled: () => undefined, reply: () => undefined, drawn: () => undefined };

function opened(connect: ConnectScreens = screensHere) {
  const screens = new Screens(connect);
  const log = new OutputLog({ folder: temporaryFolder() });
  cleanup(async () => {
    await screens.close();
    await log.close();
  });
  return { log, screen: screens.open(log, size, 0, nobody) };
}

describe('a screen', () => {
  test('is drawn from the log, sizes in their place between the bytes', async () => {
    const { log, screen } = opened();
    log.append(Buffer.from('x'.repeat(100)));
    screen.outputArrived();
    screen.resize({ cols: 60, rows: 10 });
    log.append(Buffer.from(`\r\n${'y'.repeat(70)}`));
    screen.outputArrived();
    await screen.drawnTo(log.end, 5000);
    const { lines, offset, ...rest } = await screen.text(0);
    expect(offset).toBe(172);
    expect(rest).toMatchObject({ cols: 60, rows: 10 });
    expect(lines.slice(-2)).toEqual(['y'.repeat(60), 'y'.repeat(10)]);
  });

  test('draws a picture that another terminal understands', async () => {
    const { log, screen } = opened();
    log.append(Buffer.from(`${numbered(100)}\x1b[1;31mred\x1b[0m \x1b[?2004h\u00e4\u{1f600}`));
    await screen.drawnTo(log.end, 5000);
    const picture = await screen.snapshot(1000);
    const second = opened();
    second.log.append(picture.bytes);
    await second.screen.drawnTo(second.log.end, 5000);
    expect(await second.screen.text(1000)).toMatchObject({
      lines: (await screen.text(1000)).lines,
      cursor: (await screen.text(0)).cursor,
    });
    expect(Buffer.from(picture.bytes).toString()).toContain('\x1b[?2004h');
  });

  test('is drawn again when what draws it breaks down', async () => {
    const handlers: ScreenPortHandler[] = [];
    const { log, screen } = opened((handler) => {
      handlers.push(handler);
      return screensHere(handler);
    });
    log.append(Buffer.from('before the break\r\n'));
    await screen.drawnTo(log.end, 5000);
    const asked = screen.text(0);
    handlers[0]!.broken(new Error('out of memory'));
    // Whoever asked gets the answer all the same.
    await asked;
    log.append(Buffer.from('after'));
    await screen.drawnTo(log.end, 5000);
    expect((await screen.text(0)).lines).toEqual(['before the break', 'after']);
    expect(handlers).toHaveLength(2);
    // What breaks it again at once is not drawn a third time.
    handlers[1]!.broken(new Error('again'));
    log.append(Buffer.from(' all'));
    await screen.drawnTo(log.end, 5000);
    expect((await screen.text(0)).lines).toEqual([' all']);
  });
});

test('a program is held back while its screen is far behind, and no byte is lost', { timeout: 60_000 }, async () => {
  // Draws nothing until it is told to.
  const held: Array<() => void> = [];
  let holding = true;
  const slow: ConnectScreens = (handler) => {
    const port = screensHere(handler);
    return {
      close: port.close,
      post: (message) => {
        if (holding) held.push(() => port.post(message));
        else port.post(message);
      },
    };
  };
  const { run, ask } = await start({ screens: slow });
  const { session } = await run('stty raw; seq 1 1500000; echo end');
  const info = async () => (await ask('session.list', {})).sessions[0]!;
  let before = -1;
  await expect
    .poll(
      async () => {
        const { outputBytes } = await info();
        const stands = outputBytes === before && outputBytes > 0;
        before = outputBytes;
        return stands;
      },
      { interval: 300, timeout: 30_000 },
    )
    .toBe(true);
  expect(before).toBeGreaterThan(8 << 20);
  expect(before).toBeLessThan((8 << 20) + (1 << 20));
  holding = false;
  for (const post of held.splice(0)) post();
  const { exitCode } = await ask('session.wait', { session, until: { type: 'exit' } });
  expect(exitCode).toBe(0);
  expect((await info()).outputBytes).toBe(numbered(1_500_000).replaceAll('\r', '').length + 4);
});
