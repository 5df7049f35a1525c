// A real browser, without a window, that talks to nobody but the page.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE } from './world.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

const QUIET = [
  '--no-sandbox', // it may be root who runs this, and the page is ours
  '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--disable-default-apps', '--no-first-run', '--no-default-browser-check', '--metrics-recording-only',
];

function found() {
  if (process.env.MCPLEX_BROWSER) return process.env.MCPLEX_BROWSER;
  for (const name of NAMES) {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      // the next one
    }
  }
  throw new Error(`there is none of ${NAMES.join(', ')}; MCPLEX_BROWSER names another one`);
}

export class Browser {
  static async start(dir, pictures) {
    const require = createRequire(join(dir, 'node', 'package.json'));
    const browser = new Browser();
    browser.axe = `${readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')};0`;
    browser.pictures = pictures;
    if (pictures) mkdirSync(pictures, { recursive: true });
    // It has a folder of its own for all that it keeps, which is gone afterwards.
    browser.process = await require('playwright-core').chromium.launch({ executablePath: found(), args: QUIET, timeout: 60_000 });
    return browser;
  }

  stop() {
    return this.process.close();
  }

  /** Closes what a check that failed has left open. */
  closeAll() {
    return Promise.all(this.process.contexts().map((context) => context.close()));
  }

  /** What was to be seen when a check failed. */
  async lastPicture() {
    const page = this.process.contexts().at(-1)?.pages().at(0);
    if (page && this.pictures) await page.screenshot({ path: join(this.pictures, 'failed.png') }).catch(() => null);
  }

  /** A window with nothing in it; `noise` is what may be said on the console. */
  async window({ width = 1280, height = 900, scheme = 'light', noise = null } = {}) {
    const context = await this.process.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' });
    context.setDefaultTimeout(PATIENCE);
    return new Window(this, context, await context.newPage(), noise);
  }
}

export class Window {
  constructor(browser, context, page, noise) {
    Object.assign(this, { browser, context, page, noise });
    this.requests = [];
    this.complaints = [];
    context.on('request', (request) => this.requests.push(request.url()));
    page.on('pageerror', (error) => this.complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(message.text());
    });
  }

  /** Opens a link, and waits until the page listens. */
  async open(link) {
    const response = await this.page.goto(link);
    await this.page.locator('#link.live').waitFor();
    return response;
  }

  card(upstream) {
    return this.page.locator(`#fleet > [data-upstream="${upstream}"]`);
  }

  button(upstream, word) {
    return this.card(upstream).getByRole('button', { name: `${word} ${upstream}`, exact: true });
  }

  /** Waits until the badge of an upstream says so. */
  health(upstream, health) {
    return this.page.locator(`#fleet > [data-upstream="${upstream}"].${health}`).waitFor();
  }

  /** What the rules of accessibility have against what is shown now. */
  async faults() {
    // Not as an element, which the page does not allow.
    await this.page.evaluate(this.browser.axe);
    const { violations } = await this.page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
    return violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.target.join(' ')).slice(0, 5).join(', ')}`);
  }

  async picture(name) {
    if (this.browser.pictures) await this.page.screenshot({ path: join(this.browser.pictures, `${name}.png`), fullPage: name.endsWith('page') });
  }

  /** Closes it; says what it has done that a page of ours must not do. */
  async close(origin) {
    await this.context.close();
    const strange = this.requests.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:'));
    const complaints = this.complaints.filter((text) => !this.noise?.test(text));
    return [...strange.map((url) => `a request left the origin: ${url}`), ...complaints.map((text) => `the console says: ${text}`)];
  }
}
