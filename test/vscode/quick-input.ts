import type { Locator, Page } from 'playwright-core';
import { inTime } from './in-time.ts';
import { matches, readable, type TextPattern } from './text.ts';
import { until } from './until.ts';

export interface QuickPickItem {
  label: string;
  description: string;
  detail: string;
}

const WIDGET = '.quick-input-widget:visible';

/** The command palette, quick picks and input boxes: all are one widget. */
export class QuickInput {
  private readonly input: Locator;
  private readonly rows: Locator;

  constructor(private readonly page: Page) {
    this.input = page.locator(`${WIDGET} .quick-input-box input`);
    this.rows = page.locator(`${WIDGET} .quick-input-list .monaco-list-row`);
  }

  /**
   * Runs a command of the palette, by its id or by its full label ("niia: Refresh"). Opens the palette again until the
   * command is there, because it lists what was contributed when it opened, and because a workbench that is still
   * settling takes the focus, and the palette with it.
   */
  async runCommand(idOrLabel: string, timeoutMs = 30_000): Promise<void> {
    const row = this.commandRow(idOrLabel);
    const open = async () => {
      await this.page.keyboard.press('F1');
      if (!(await inTime(this.input.fill(`>${idOrLabel}`, { timeout: 5_000 })))) return false;
      const chosen = (await appears(row, 1_000)) && (await inTime(row.click({ timeout: 2_000 })));
      if (!chosen) await this.dismiss();
      return chosen;
    };
    await until(`the command ${idOrLabel} in the palette`, open, { timeoutMs });
    // A command may open a quick input of its own at once: what is awaited is that this is no longer the palette.
    await until('the palette to close', async () => !(await this.isPalette()));
  }

  async items(): Promise<QuickPickItem[]> {
    const text = async (row: Locator, selector: string) =>
      readable((await row.locator(selector).allTextContents())[0] ?? '');
    return Promise.all(
      (await this.rows.all()).map(async (row) => ({
        label: await text(row, '.label-name'),
        description: await text(row, '.label-description'),
        detail: await text(row, '.quick-input-list-label-meta'),
      })),
    );
  }

  /** Title, placeholder and message of what is open, on a line each; undefined where nothing is. */
  async about(): Promise<string | undefined> {
    const shown = await this.page
      .locator(`${WIDGET} :is(.quick-input-title, .quick-input-message):visible`)
      .allTextContents();
    const placeholders = await this.input.evaluateAll((inputs) =>
      inputs.map((input) => input.getAttribute('placeholder') ?? ''),
    );
    return placeholders.length === 0 ? undefined : [...shown, ...placeholders].join('\n');
  }

  /** Waits for a quick pick or input box; `about` is sought in its title, placeholder and message. */
  async waitFor(about: RegExp = /(?:)/): Promise<void> {
    const open = async () => {
      const text = await this.about();
      return text !== undefined && about.test(text) && !(await this.isPalette());
    };
    await until(`a quick input about ${about}`, open, { found: () => this.about() });
  }

  /** Whether a quick pick comes to have a row with this label within so many milliseconds. */
  async offers(label: TextPattern, withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    const look = async () => {
      if ((await this.items()).some((item) => matches(item.label, label))) return 'there';
      return performance.now() > deadline && 'not there';
    };
    return (await until(`a row ${label}`, look)) === 'there';
  }

  /** Chooses a row of a quick pick by its label. The list shows some 16 rows; narrow a longer one by `filter`. */
  async choose(label: TextPattern, options: { about?: RegExp; filter?: string } = {}): Promise<void> {
    await this.waitFor(options.about);
    if (options.filter !== undefined) await this.input.fill(options.filter);
    const index = await until(
      `a row ${label} in the quick pick`,
      async () => {
        const found = (await this.items()).findIndex((item) => matches(item.label, label));
        return found >= 0 ? { found } : undefined;
      },
      { found: () => this.items() },
    );
    await this.rows.nth(index.found).click();
  }

  /** Types into an input box and confirms. */
  async submit(text: string, options: { about?: RegExp } = {}): Promise<void> {
    await this.waitFor(options.about);
    await this.input.fill(text);
    await this.input.press('Enter');
  }

  async dismiss(): Promise<void> {
    await this.page.keyboard.press('Escape');
    await until('the quick input to close', async () => (await this.about()) === undefined);
  }

  private commandRow(idOrLabel: string): Locator {
    const byId = this.page.locator(`[data-quick-input-id=${JSON.stringify(idOrLabel)}]`);
    const byLabel = this.page.locator('.label-name', { hasText: exactly(idOrLabel) });
    return this.rows.filter({ has: byId.or(byLabel) }).first();
  }

  private async isPalette(): Promise<boolean> {
    return (await this.page.locator(`${WIDGET} input[placeholder="Type the name of a command to run."]`).count()) > 0;
  }
}

function exactly(text: string): RegExp {
  return new RegExp(`^\\s*${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\s*$`);
}

async function appears(locator: Locator, timeoutMs: number): Promise<boolean> {
  try {
    await locator.waitFor({ timeout: timeoutMs });
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') return false;
    throw error;
  }
}
