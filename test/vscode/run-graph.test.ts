import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type GraphView, graphView } from '../../extension/graph/graph-view.ts';
import { graphPage } from '../../extension/graph/page.ts';
import { done, now, shownRun, waiting, worker } from '../unit/extension/run-fixtures.ts';
import { launchBrowser } from './browser.ts';
import { repository } from './package.ts';

const origin = 'http://graph.test';
/** What the editor's themes say, as far as the page asks. */
const themes = {
  dark: `:root { --vscode-foreground: #ccc; --vscode-editor-background: #1f1f1f; --vscode-descriptionForeground: #9d9d9d;
    --vscode-charts-blue: #3794ff; --vscode-charts-green: #89d185; --vscode-charts-red: #f14c4c; --vscode-charts-orange: #d18616;
    --vscode-charts-yellow: #cca700; --vscode-focusBorder: #0078d4; --vscode-panel-border: #2b2b2b;
    --vscode-font-family: sans-serif; --vscode-font-size: 13px }`,
  contrast: `:root { --vscode-foreground: #fff; --vscode-editor-background: #000; --vscode-descriptionForeground: #999;
    --vscode-charts-blue: #3794ff; --vscode-charts-green: #89d185; --vscode-charts-red: #f48771; --vscode-charts-orange: #d18616;
    --vscode-charts-yellow: #cca700; --vscode-focusBorder: #f38518; --vscode-contrastBorder: #6fc3df;
    --vscode-font-family: sans-serif; --vscode-font-size: 13px }`,
};

describe('the page of a graph', () => {
  let browser: Browser;
  let page: Page;
  const refused: string[] = [];
  beforeAll(async () => {
    browser = await launchBrowser({});
  });
  afterAll(async () => await browser.close());
  beforeEach(async () => {
    refused.length = 0;
    page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
    page.on('console', (message) => message.type() === 'error' && refused.push(message.text()));
    page.on('pageerror', (error) => refused.push(String(error)));
    await page.addInitScript(() => {
      const said: unknown[] = [];
      Object.assign(globalThis, {
        said,
        acquireVsCodeApi: () => ({ postMessage: (message: unknown) => said.push(message) }),
      });
    });
  });
  afterEach(async () => await page.close());

  const open = async (theme: keyof typeof themes): Promise<void> => {
    const parts = { nonce: 'n', cspSource: origin, script: `${origin}/run-graph.js`, style: `${origin}/run-graph.css` };
    const media = (name: string) => readFile(`${repository}/extension/media/${name}`, 'utf8');
    await page.route(`${origin}/**`, async (route) => {
      const path = new URL(route.request().url()).pathname;
      if (path === '/run-graph.js')
        await route.fulfill({ contentType: 'text/javascript', body: await media('run-graph.js') });
      else if (path === '/run-graph.css') {
        await route.fulfill({ contentType: 'text/css', body: themes[theme] + (await media('run-graph.css')) });
      } else await route.fulfill({ contentType: 'text/html', body: graphPage({ ...parts, title: 'Run: review' }) });
    });
    await page.goto(`${origin}/`);
    if (theme === 'contrast') await page.evaluate("document.body.classList.add('vscode-high-contrast')");
  };
  const tell = (view: GraphView) => page.evaluate(`postMessage(${JSON.stringify({ type: 'run', view })}, '*')`);
  const said = () => page.evaluate<unknown[]>('said');
  const boxes = () => page.getByRole('button');

  const workers = [
    done('search'),
    done('data', { phase: 'find' }),
    worker('review', { needs: ['search'], lastLine: 'reading <b>src</b>', attempt: 2 }),
    worker('ask', { state: 'blocked' }),
    worker('away', { state: 'lost' }),
    worker('deploy', { phase: 'tell', state: 'paused', error: 'it may be done' }),
    worker('broken', { phase: 'tell', state: 'failed', error: 'exit code 3', session: null }),
    waiting('strategy', { phase: 'tell', needs: ['deploy'] }),
    worker('given-up', { phase: 'tell', state: 'cancelled' }),
    worker('next', { phase: 'tell', state: 'granted' }),
  ];

  it('asks for what it shows, and shows each worker in the picture and in the table', async () => {
    await open('dark');
    await expect.poll(said).toEqual([{ type: 'ready' }]);
    await tell(graphView(shownRun(workers), now));
    await expect.poll(() => boxes().count()).toBe(workers.length);
    expect(
      await page
        .getByRole('button', { name: /^review, phase find, running, box, opus, since 14:05, attempt 2/ })
        .count(),
    ).toBe(1);
    expect(await page.getByRole('row').count()).toBe(workers.length + 1);
    expect(await page.getByRole('cell', { name: 'reading <b>src</b>' }).count()).toBe(1);
    expect(await page.locator('path.edge').count()).toBe(3);
    await page.screenshot({ path: `${repository}/test/artifacts/run-graph-dark.png` });
    expect(refused).toEqual([]);
  });

  it("opens a worker's terminal by key and by mouse", async () => {
    await open('dark');
    await tell(graphView(shownRun(workers), now));
    await boxes().first().waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /^ask,/ }).click();
    await expect
      .poll(said)
      .toEqual([{ type: 'ready' }, { type: 'open', worker: 'data' }, { type: 'open', worker: 'ask' }]);
    await page.screenshot({ path: `${repository}/test/artifacts/run-graph-focus.png` });
  });

  it('writes what changed into what stands there: nothing flickers, and the focus stays', async () => {
    await open('contrast');
    await tell(graphView(shownRun(workers), now));
    await boxes().first().focus();
    await page.evaluate("window.first = document.querySelector('#graph .box'); window.seen = []");
    await page.evaluate(
      "new MutationObserver((list) => { for (const one of list) window.seen.push(...one.addedNodes, ...one.removedNodes) }).observe(document.querySelector('#graph'), { childList: true })",
    );
    const changed = workers.map((one) => (one.name === 'review' ? done('review', { needs: ['search'] }) : one));
    await tell(graphView(shownRun(changed), now));
    await expect.poll(() => page.locator('#news').textContent()).toBe('review: succeeded');
    expect(await page.evaluate("window.first === document.querySelector('#graph .box')")).toBe(true);
    expect(await page.evaluate('document.activeElement === window.first')).toBe(true);
    expect(await page.evaluate('window.seen.length')).toBe(0);
    await page.screenshot({ path: `${repository}/test/artifacts/run-graph-contrast.png` });
    // Another worker is another picture.
    await tell(graphView(shownRun([...changed, waiting('more', { phase: 'tell' })]), now));
    await expect.poll(() => boxes().count()).toBe(workers.length + 1);
    expect(refused).toEqual([]);
  });
});
