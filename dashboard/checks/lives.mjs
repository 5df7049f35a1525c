// What goes on is seen as it goes on, and a loop of deaths disturbs nobody.

import { check, equal, say } from '../say.mjs';

const CALLS = 20;
const FAILURES = 3;
const LIVES = 4;

/** A time as the page writes it. */
const short = (us) => (us < 1000 ? `${us} µs` : us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`);

export const checks = [
  {
    name: 'events come by themselves',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      const newest = () => window.page.locator('#events > li').first().getAttribute('data-number');
      for (let count = 0; count < 3; count += 1) {
        const before = Number(await newest());
        await world.until('another event is shown', async () => Number(await newest()) > before);
      }
      // A life in a loop is two lines, and the wait after it stands with its end.
      await world.until('a wait is told', async () => /died, life \d+.*; again in \d+ (ms|s)/.test(await window.page.locator('#events').innerText()));
      // The newest may be a start that is not over, and the oldest a wait after a death that is forgotten.
      const told = await window.page.locator('#events > li', { hasText: 'restless' }).allInnerTexts();
      const starts = told.slice(1, -1).filter((line) => line.includes('restless recovering'));
      equal(starts.join(' | '), '', 'lines of starts that are over');
      return window;
    },
  },
  {
    name: 'the figures of tools are those of the API',
    async run(world, browser) {
      const client = await world.client();
      await world.until('tools are listed', async () => (await client.ask('tools/list')).includes('files__echo'));
      const window = await browser.window();
      await window.open(world.link);
      for (let count = 0; count < CALLS; count += 1) await client.call('files__echo', { count });
      for (let count = 0; count < FAILURES; count += 1) await client.call('files__fail');
      const row = (tool) => window.page.locator('#tools > tr', { has: window.page.getByRole('rowheader', { name: tool, exact: true }) });
      for (const [tool, calls, errors] of [['files__echo', CALLS, 0], ['files__fail', FAILURES, FAILURES]]) {
        await row(tool).getByRole('cell', { name: String(calls), exact: true }).first().waitFor();
        const figures = (await world.api('tools')).find((it) => it.tool === tool);
        const expected = ['files', calls, errors, ...[figures.p50_us, figures.p95_us, figures.p99_us, figures.max_us].map(short)];
        equal((await row(tool).getByRole('cell').allInnerTexts()).join(' | '), expected.join(' | '), tool);
      }
      // Each that failed is told by itself, with the way to its trace.
      await world.until('failures are told', async () => (await window.page.locator('#failed > li', { hasText: 'files__fail' }).count()) === FAILURES);
      const { trace_id: trace } = (await world.api('calls')).find((it) => it.tool === 'files__fail');
      check(/^[0-9a-f]{32}$/.test(trace), `the trace is ${trace}`);
      equal(await window.page.locator(`#failed a[href="${world.traces}/trace/${trace}"]`).count(), 1, 'links to the trace of a call');
      const calls = window.card('files').locator('.facts div', { hasText: 'calls' });
      await calls.locator('dd', { hasText: new RegExp(`^${CALLS + FAILURES}$`) }).waitFor();
      return window;
    },
  },
  {
    name: 'a loop of deaths takes nobody\'s focus and is not read aloud',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      const button = window.card('restless').getByRole('button', { name: 'Why of restless' });
      await button.focus();
      await window.page.evaluate(() => {
        globalThis.aloud = [];
        globalThis.focused = document.activeElement;
        const hear = (changes) => globalThis.aloud.push(...changes.map((it) => it.target.textContent));
        for (const region of document.querySelectorAll('[aria-live], [role=status], [role=alert]')) {
          new MutationObserver(hear).observe(region, { childList: true, characterData: true, subtree: true, attributes: true });
        }
      });
      const life = async () => (await world.upstream('restless')).incarnation;
      const shown = () => window.card('restless').locator('.facts dd').first().innerText();
      const until = (await life()) + LIVES;
      await world.until(`it shows life ${until}`, async () => Number(await shown()) >= until);
      const { aloud, isSame, isThere } = await window.page.evaluate(() => ({
        aloud: globalThis.aloud, isSame: globalThis.focused === document.activeElement, isThere: globalThis.focused.isConnected,
      }));
      check(isSame && isThere, 'the focus is lost');
      equal(aloud.join(), '', 'what is read aloud');
      say(`${LIVES} lives`);
      // It is a button still.
      await window.page.keyboard.press('Enter');
      await window.page.locator('#sheet[open]').waitFor();
      return window;
    },
  },
  {
    name: 'a screen reader hears what is what',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      await window.health('files', 'ready');
      await window.card('files').getByRole('listitem').first().waitFor();
      const heard = await window.card('files').ariaSnapshot();
      for (const part of ['heading "files" [level=3]', 'text: ready', 'list "lives of files, newest last"', 'group "actions on files"', 'button "Reset files"', 'button "Crashes of files"']) check(heard.includes(part), `${part} is not in ${heard}`);
      for (const role of ['banner', 'main']) equal(await window.page.getByRole(role).count(), 1, role);
      for (const name of ['Upstreams', 'Tools', 'Events']) equal(await window.page.getByRole('region', { name }).count(), 1, name);
      await window.page.keyboard.press('Tab');
      await window.page.keyboard.press('Enter');
      check(await window.page.locator('#main').evaluate((it) => it === document.activeElement), 'the link to the upstreams leads elsewhere');
      return window;
    },
  },
  {
    name: 'stop and start are one button that says what it does',
    async run(world, browser) {
      const window = await browser.window();
      await window.open(world.link);
      // It runs for a moment and is down for another; only what runs is asked about.
      const sure = window.page.getByRole('dialog', { name: 'Stop files?' });
      await window.button('files', 'Stop').click();
      await sure.waitFor();
      equal((await window.faults()).join('; '), '', 'accessibility');
      await window.page.keyboard.press('Escape');
      await sure.waitFor({ state: 'hidden' });
      equal((await world.upstream('files')).health, 'ready', 'health after a no');
      check(await window.button('files', 'Stop').evaluate((it) => it === document.activeElement), 'the focus is lost');
      await window.button('files', 'Stop').click();
      await sure.getByRole('button', { name: 'Stop files' }).click();
      await window.health('files', 'stopped');
      await window.button('files', 'Start').click();
      await window.health('files', 'ready');
      await window.button('restless', 'Stop').click();
      const yes = window.page.getByRole('dialog').getByRole('button', { name: 'Stop restless' });
      await yes.or(window.card('restless').locator('.badge.stopped')).first().waitFor();
      if (await yes.isVisible()) await yes.click();
      await window.health('restless', 'stopped');
      await window.button('restless', 'Start').waitFor();
      equal((await world.upstream('restless')).health, 'stopped', 'health');
      return window;
    },
  },
];
