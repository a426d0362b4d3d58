import type { Locator, Page } from 'playwright-core';
import { inTime } from './in-time.ts';
import { labelled, matches, readable, type TextPattern } from './text.ts';
import { patienceMs, until } from './until.ts';

export interface TreeRow {
  label: string;
  description: string;
  /** What a screen reader says. */
  ariaLabel: string;
  /** 1 at the top. */
  level: number;
  /** Undefined where the row has no children. */
  expanded: boolean | undefined;
  selected: boolean;
}

/** One attempt at a row that may be drawn anew meanwhile. */
const quick = { timeout: 2_000 };

/** A tree view, by its title. Sees the rows that are on the screen, not those that one would scroll to. */
export class TreeView {
  private readonly tree: Locator;
  private readonly part: Locator;

  constructor(
    private readonly page: Page,
    private readonly title: string,
  ) {
    const selector = `[role="tree"]${labelled(title)}`;
    this.tree = page.locator(selector);
    this.part = page.locator('.part', { has: page.locator(selector) });
  }

  /** From top to bottom. Read in one go, because rows move while one looks. */
  async rows(): Promise<TreeRow[]> {
    const raw = await this.tree.locator('.monaco-list-row').evaluateAll((rows) =>
      rows
        .map((row) => ({
          index: Number(row.getAttribute('data-index')),
          label: row.querySelector('.label-name')?.textContent ?? null,
          description: row.querySelector('.label-description')?.textContent ?? null,
          ariaLabel: row.getAttribute('aria-label') ?? '',
          level: Number(row.getAttribute('aria-level')),
          expanded: row.getAttribute('aria-expanded'),
          selected: row.classList.contains('selected'),
        }))
        .sort((a, b) => a.index - b.index),
    );
    return raw.map(({ index: _, ...row }) => ({
      ...row,
      label: readable(row.label),
      description: readable(row.description),
      expanded: row.expanded === null ? undefined : row.expanded === 'true',
    }));
  }

  /** Waits for a row with this label for which `such` holds, and returns it. */
  async waitForRow(
    label: TextPattern,
    such: (row: TreeRow) => boolean = () => true,
    timeoutMs = patienceMs,
  ): Promise<TreeRow> {
    return until(
      `a row ${label} in ${this.title}`,
      async () => (await this.rows()).find((row) => matches(row.label, label) && such(row)),
      { timeoutMs, found: () => this.rows() },
    );
  }

  async waitForRows(what: string, such: (rows: TreeRow[]) => boolean, timeoutMs = patienceMs): Promise<TreeRow[]> {
    const look = async () => {
      const rows = await this.rows();
      return such(rows) ? rows : undefined;
    };
    return until(`${what} in ${this.title}`, look, { timeoutMs, found: () => this.rows() });
  }

  async click(label: TextPattern): Promise<void> {
    await this.onRow(label, (row) => row.locator('.label-name').click(quick));
  }

  /** Opens a row's children, where they are not open. */
  async expand(label: TextPattern): Promise<void> {
    const { expanded } = await this.waitForRow(label, (row) => row.expanded !== undefined);
    if (expanded === true) return;
    await this.onRow(label, (row) => row.locator('.monaco-tl-twistie').click(quick));
    await this.waitForRow(label, (row) => row.expanded === true);
  }

  /** An action at the right of a row, by its title. */
  async inlineAction(label: TextPattern, action: string): Promise<void> {
    await this.onRow(label, async (row) => {
      await row.hover(quick);
      await row.locator(`.actions .action-label${labelled(action)}`).click(quick);
    });
  }

  /** An entry of a row's context menu, by its title. */
  async menuAction(label: TextPattern, action: string): Promise<void> {
    await this.onRow(label, (row) => row.locator('.label-name').click({ ...quick, button: 'right' }));
    const entry = this.page.locator('.monaco-menu .action-menu-item', { has: this.page.locator(labelled(action)) });
    // By key, because for its first 100 ms a menu ignores the mouse.
    await entry.hover();
    await this.page.keyboard.press('Enter');
    await entry.waitFor({ state: 'detached' });
  }

  /** An action in the title of the view, which is its container's where that has no other view. */
  async titleAction(action: string): Promise<void> {
    await this.part
      .locator(`.action-label${labelled(action)}:visible`)
      .first()
      .click();
  }

  /** Does something with a row. Rows change and are drawn anew under the mouse; then it is done with the new one. */
  private async onRow(label: TextPattern, action: (row: Locator) => Promise<void>): Promise<void> {
    const attempt = async () => inTime(action(await this.locate(label)));
    await until(`a row ${label} in ${this.title} to hold still`, attempt, {
      timeoutMs: 30_000,
      found: () => this.rows(),
    });
  }

  private async locate(label: TextPattern): Promise<Locator> {
    const { ariaLabel } = await this.waitForRow(label);
    const name = this.page.locator('.label-name', { hasText: label });
    const rows = this.tree.locator(`.monaco-list-row[aria-label=${JSON.stringify(ariaLabel)}]`);
    return rows.filter({ has: name }).first();
  }
}
