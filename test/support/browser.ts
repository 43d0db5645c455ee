import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Test } from 'tap';
import { needed } from './needs.js';
import { REPOSITORY } from './posthorn-process.js';

/** Where screenshots are kept as artefacts of a run. */
const SCREENSHOTS = join(REPOSITORY, '.tap/screenshots');
/** How long anything may take on a busy machine, ms. */
const STEP_MS = 60_000;

/** A browser window of a test. */
export interface Window {
  readonly page: Page;
  /** What the page has complained of so far: errors and warnings on the console, uncaught errors, violations of the Content-Security-Policy, failed loads. */
  readonly complaints: readonly string[];
  /** Keeps what is to be seen now as `<name>.png`. */
  screenshot(name: string): Promise<void>;
}

/** Opens windows that share nothing with one another. */
export type OpenWindow = (t: Test, url: string, options?: BrowserContextOptions) => Promise<Window>;

/** Starts Debian's Chromium without a window of its own. Undefined, and the test is skipped or fails, where it is not installed. It ends with the test. */
export async function startBrowser(t: Test): Promise<OpenWindow | undefined> {
  const executablePath = needed(t, 'chromium');
  if (executablePath === undefined) return undefined;
  mkdirSync(SCREENSHOTS, { recursive: true });
  const browser: Browser = await chromium.launch({ executablePath });
  t.teardown(() => browser.close());
  return async (test, url, options = {}) => {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      locale: 'en-GB',
      reducedMotion: 'reduce',
      ...options,
    });
    test.teardown(() => context.close());
    context.setDefaultTimeout(STEP_MS);
    const page = await context.newPage();
    const complaints = await watch(page);
    await page.goto(url);
    return {
      page,
      complaints,
      async screenshot(name) {
        await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
      },
    };
  };
}

async function watch(page: Page): Promise<string[]> {
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('requestfailed', (request) => {
    // The feed is let go of when a page is left.
    if (!request.url().includes('/local/events')) complaints.push(`failed: ${request.url()}`);
  });
  await page.exposeFunction('complain', (what: string) => complaints.push(what));
  await page.addInitScript(`addEventListener('securitypolicyviolation', (event) => {
    complain('policy: ' + event.violatedDirective + ' ' + event.blockedURI);
  });`);
  return complaints;
}
