// A trip is seen at once, and a reset from the page brings the upstream back.

import { LAST_WORDS, MARKUP } from '../world.mjs';
import { check, equal, say } from '../say.mjs';

/** What the issue asks for: from the event to the eye. */
const SEEN_WITHIN = 2_000;
const MAX_TABS = 200;

/** Has the sick one run, and gives a client that can make it die. */
async function well(world) {
  world.heal();
  await world.until('telegram is ready', async () => {
    const now = await world.upstream('telegram');
    if (now?.health === 'tripped') await world.api('upstreams/telegram/reset', 'POST');
    return now?.health === 'ready';
  });
  const client = await world.client();
  await world.until('its tools are listed', async () => (await client.ask('tools/list')).includes('telegram__crash'));
  return client;
}

async function trips(world, client) {
  world.sicken();
  await client.call('telegram__crash');
  await world.until('telegram trips', async () => (await world.upstream('telegram'))?.health === 'tripped');
}

export const checks = [
  {
    name: 'a trip is shown within 2 s of the event',
    async run(world, browser) {
      const client = await well(world);
      const window = await browser.window();
      await window.open(world.link);
      await window.health('telegram', 'ready');
      await window.page.evaluate(() => {
        const card = document.querySelector('#fleet > [data-upstream="telegram"]');
        globalThis.tripped = new Promise((seen) => {
          new MutationObserver(() => card.classList.contains('tripped') && seen(Date.now())).observe(card, { attributes: true });
        });
      });
      await trips(world, client);
      const shown = await window.page.evaluate(() => globalThis.tripped);
      const events = await world.api('timeline?upstream=telegram');
      const event = events.filter((it) => it.health === 'tripped').at(-1);
      const took = shown - event.at_ms;
      say(`shown ${took} ms after the event`);
      check(took <= SEEN_WITHIN, `it took ${took} ms`);
      equal(await window.page.locator('#said').textContent(), 'telegram is tripped', 'what is read aloud');
      check((await window.page.title()).startsWith('('), 'the title does not count those that are down');
      const first = window.page.locator(`#events > [data-number="${event.number}"]`);
      check((await first.textContent()).includes('tripped'), 'the event is not in the list');
      return window;
    },
  },
  {
    name: 'a click on reset brings it back',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      await window.health('telegram', 'tripped');
      const before = await world.upstream('telegram');
      world.heal();
      await window.button('telegram', 'Reset').click();
      await window.health('telegram', 'ready');
      const after = await world.upstream('telegram');
      equal(after.health, 'ready', 'health');
      check(after.incarnation > before.incarnation && after.deaths === 0, `life ${after.incarnation}, ${after.deaths} deaths`);
      return window;
    },
  },
  {
    name: 'the keyboard alone brings it back too',
    async run(world, browser) {
      await trips(world, await well(world));
      const window = await browser.window();
      await window.open(world.link);
      await window.health('telegram', 'tripped');
      const focused = () => window.page.evaluate(() => document.activeElement.getAttribute('aria-label'));
      let tabs = 0;
      while ((await focused()) !== 'Reset telegram' && tabs < MAX_TABS) {
        await window.page.keyboard.press('Tab');
        tabs += 1;
      }
      say(`${tabs} times Tab`);
      equal(await focused(), 'Reset telegram', 'the focus');
      world.heal();
      await window.page.keyboard.press('Enter');
      await window.health('telegram', 'ready');
      equal(await focused(), 'Reset telegram', 'the focus afterwards');
      return window;
    },
  },
  {
    name: 'a refusal is said, and can be put away',
    async run(world, browser) {
      world.sicken();
      await world.bring('telegram', 'restart', 'tripped');
      const window = await browser.window({ noise: /status of 502/ });
      await window.open(world.link);
      await window.button('telegram', 'Restart').click();
      await window.page.locator('#problem', { hasText: 'telegram was told to restart, and failed' }).waitFor();
      await window.page.getByRole('button', { name: 'Dismiss' }).click();
      check(await window.page.locator('#trouble').isHidden(), 'it stays');
      return window;
    },
  },
  {
    name: 'a crash report opens, with its last words and the way to its trace',
    async run(world, browser) {
      await trips(world, await well(world));
      const window = await browser.window();
      await window.open(world.link);
      const { page } = window;
      const button = window.card('telegram').getByRole('button', { name: 'Crashes of telegram' });
      await button.click();
      await page.locator('#sheet[open]').waitFor();
      const report = await world.api('crashes/telegram/1');
      const text = await page.locator('#sheet').innerText();
      for (const part of [LAST_WORDS, report.what, `tripped: ${report.trip}`]) check(text.includes(part), `${part} is not in ${text}`);
      check(/\d:\d\d:\d\d\D+(UTC|GMT|[A-Z]{3,4}).*ago/.test(text), `no time with its zone is in ${text}`);
      check(text.includes(MARKUP) && (await page.locator('#sheet img').count()) === 0, 'what it said became more than text');
      check(/^[0-9a-f]{32}$/.test(report.trace_id), `the trace is ${report.trace_id}`);
      equal(await page.getByRole('link', { name: 'Open its trace' }).getAttribute('href'), `${world.traces}/trace/${report.trace_id}`, 'the link');
      await window.picture('report');
      const older = await world.api('crashes/telegram/2');
      await page.getByLabel('Report of').selectOption('2');
      await page.locator(`#sheet a[href$="${older.trace_id}"]`).waitFor();
      await page.keyboard.press('Escape');
      check(await page.locator('#sheet').isHidden(), 'it stays open');
      check(await button.evaluate((it) => it === document.activeElement), 'the focus is lost');
      const links = await page.locator(`#events a[href="${world.traces}/trace/${report.trace_id}"]`).count();
      equal(links, 1, 'links to the trace among the events');
      return window;
    },
  },
  {
    name: 'what has trouble stands above all others, with since when and why',
    async run(world, browser) {
      const window = await browser.window({ width: 1280, height: 700 });
      await window.open(world.link);
      await window.health('telegram', 'tripped');
      const line = window.page.locator('#ill > li', { has: window.page.getByRole('link', { name: 'telegram', exact: true }) });
      await line.waitFor();
      const text = await line.innerText();
      const { trouble_since_ms: since } = await world.upstream('telegram');
      const told = await window.page.evaluate((ms) => new Date(ms).toLocaleTimeString(), since);
      for (const part of ['tripped', `since ${told}, `, ' ago', 'Set TELEGRAM_TOKEN']) check(text.includes(part), `${part} is not in ${text}`);
      equal(await window.page.locator('#ill > li', { hasText: 'files' }).count(), 0, 'lines of one that is well');
      await line.getByRole('link').click();
      equal(await window.page.evaluate(() => document.activeElement.textContent), 'telegram', 'the focus');
      check(await window.card('telegram').getByRole('heading').isVisible(), 'its card is elsewhere');
      return window;
    },
  },
  {
    name: 'why it is down is told in words, with its log',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      await window.card('telegram').getByRole('button', { name: 'Why of telegram' }).click();
      const sheet = window.page.locator('#sheet[open]');
      await sheet.waitFor();
      const text = await sheet.innerText();
      for (const part of ['telegram is given up for now', 'mcplex reset telegram', 'Set TELEGRAM_TOKEN', 'Lives, newest first', 'waited before']) check(text.includes(part), `${part} is not in ${text}`);
      return window;
    },
  },
];
