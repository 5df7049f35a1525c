// It can be read and used at any size, in light and dark, by everybody. The one that dies in a loop is
// stopped before, so that nothing changes under what is measured.

import { check, equal } from '../say.mjs';

const SIZES = [[400, 860], [1280, 900], [3840, 2160]];
/** WCAG 2.2, 2.5.8. */
const TARGET = 24;
const SMALLEST = 11;
/** On a screen of 4 K that is as wide as a desk, this is about as large as 12 px on a usual one. */
const SMALLEST_AT_4K = 22;

const KINDS = [['files', 'ready'], ['telegram', 'tripped'], ['waiting', 'recovering'], ['seldom', 'idle'], ['restless', 'stopped'], ['disused', 'disabled']];

/** What sticks out, is cut off, or is too small; runs in the page. */
function measure({ target, smallest }) {
  const faults = [];
  const name = (it) => `${it.tagName.toLowerCase()}${it.id ? `#${it.id}` : ''}.${it.className}`;
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) faults.push(`the page is ${page.scrollWidth} wide`);
  for (const it of document.querySelectorAll('body *')) {
    if (!it.checkVisibility() || it.closest('.unseen, .skip, thead') || it.tagName === 'OPTION') continue;
    const box = it.getBoundingClientRect();
    if (box.left < -0.5 || box.right > innerWidth + 0.5) faults.push(`${name(it)} sticks out: ${box.left} to ${box.right}`);
    const style = getComputedStyle(it);
    // What is clamped to some lines stands whole in the card.
    if (style.overflowX !== 'visible' && style.webkitLineClamp === 'none' && it.scrollWidth > it.clientWidth + 1) faults.push(`${name(it)} is cut off`);
    const hasText = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (hasText && parseFloat(style.fontSize) < smallest) faults.push(`${name(it)} is written in ${style.fontSize}`);
    if (['BUTTON', 'INPUT', 'SELECT'].includes(it.tagName) && (box.width < target || box.height < target)) faults.push(`${name(it)} is ${box.width} by ${box.height}`);
  }
  return [...new Set(faults)].slice(0, 10);
}

/** One upstream of each kind, and figures. */
async function settle(world) {
  world.sicken();
  await world.bring('restless', 'stop', 'stopped');
  await world.bring('telegram', 'restart', 'tripped');
  const client = await world.client();
  await world.until('tools are listed', async () => (await client.ask('tools/list')).includes('files__echo'));
  await client.call('files__echo');
}

/** The mean of the channels of a colour. */
const brightness = (colour) => colour.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;

const WORST = '\u202e<script>alert(1)</script> \u05d0\u05d1\u05d2 日本語 👩\u200d👧 ' + 'w'.repeat(300);
const FLEET = 50;
const TOOLS = 500;

/** Has the page told of far more, and by servers that mean it badly. */
async function invent(window, world) {
  const { page } = window;
  const of = async (route) => (await route.fetch()).json();
  const { upstreams } = await world.api('status');
  const tripped = upstreams.find((it) => it.name === 'telegram');
  await page.route('**/api/v1/status', async (route) => {
    const many = [...Array(FLEET)].map((_, at) => {
      const name = `${at}-`.padEnd(64, 'n');
      const sick = { ...tripped, name, reason: WORST, deaths: 1e6, max_deaths: 1e6, incarnation: 1e7, tools: TOOLS };
      return at % 5 ? { ...upstreams[0], name } : sick;
    });
    await route.fulfill({ json: { ...(await of(route)), upstreams: many } });
  });
  await page.route(/\/api\/v1\/tools$/, (route) => {
    const all = [...Array(TOOLS)].map((_, at) => ({ tool: `${at}${WORST}`, upstream: 'n'.repeat(64), calls: 1e9 - at, errors: 1e9, p50_us: 1, p95_us: 1e6, p99_us: 1e9, max_us: 1e12 }));
    return route.fulfill({ json: all });
  });
}

const EXTREMES = [
  {
    name: 'fifty upstreams, five hundred tools and the worst of words, at 320 px and larger',
    async run(world, browser) {
      await settle(world);
      const window = await browser.window({ width: 320, height: 700 });
      await invent(window, world);
      await window.open(world.link);
      const { page } = window;
      await page.locator(`#fleet > li:nth-child(${FLEET})`).waitFor();
      await page.locator('#more-tools', { hasText: '300 more' }).waitFor();
      equal(await page.locator('#ill > li').count(), FLEET / 5, 'lines of trouble');
      for (const width of [320, 768, 1440]) {
        await page.setViewportSize({ width, height: 700 });
        const found = [...(await page.evaluate(measure, { target: TARGET, smallest: SMALLEST })), ...(await window.faults())];
        equal(found.join('; '), '', `at ${width} px`);
        await window.picture(`worst-${width}`);
      }
      equal(await page.locator('#all script').count(), 0, 'scripts');
      return window;
    },
  },
  {
    name: 'where nothing is configured that is said',
    async run(world, browser) {
      const window = await browser.window();
      const { page } = window;
      await page.route('**/api/v1/status', async (route) => route.fulfill({ json: { ...(await (await route.fetch()).json()), upstreams: [] } }));
      await page.route('**/api/v1/timeline', (route) => route.fulfill({ json: [] }));
      await window.open(world.link);
      await page.getByText('The configuration names no upstream.').waitFor();
      check(await page.locator('#trouble-now').isHidden(), 'there is trouble');
      equal((await window.faults()).join('; '), '', 'accessibility');
      return window;
    },
  },
  {
    name: 'with the colours of the system alone every health has its shape',
    async run(world, browser) {
      await settle(world);
      const window = await browser.window();
      await window.page.emulateMedia({ forcedColors: 'active' });
      await window.open(world.link);
      await window.health('telegram', 'tripped');
      const shape = (health) => window.page.locator(`#fleet .badge.${health}`).first().evaluate((it) => getComputedStyle(it, '::before').backgroundColor);
      for (const health of ['ready', 'tripped']) check(!/rgba\(.*, 0\)|transparent/.test(await shape(health)), `${health} has none`);
      await window.picture('forced-page');
      return window;
    },
  },
];

export const checks = EXTREMES.concat(SIZES.map(([width, height]) => ({
  name: `at ${width} px, light and dark`,
  async run(world, browser) {
    await settle(world);
    const window = await browser.window({ width, height });
    await window.open(world.link);
    const { page } = window;
    // All kinds of cards are there.
    for (const [upstream, health] of KINDS) await window.health(upstream, health);
    await page.locator('#tools > tr').first().waitFor();
    const limits = { target: TARGET, smallest: width > 3000 ? SMALLEST_AT_4K : SMALLEST };
    const faults = async (where) => {
      const found = [...(await page.evaluate(measure, limits)), ...(await window.faults())];
      equal(found.join('; '), '', where);
    };
    const used = await page.locator('#all').evaluate((it) => it.getBoundingClientRect().width / innerWidth);
    check(used > 0.9, `only ${used} of the width is used`);
    for (const scheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: scheme });
      const colour = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      equal(brightness(colour) > 128, scheme === 'light', `a light background, which is ${colour}`);
      await faults(`the page, ${scheme}`);
      await window.picture(`${width}-${scheme}${width < 3000 ? '-page' : ''}`);
      await window.card('telegram').getByRole('button', { name: 'Crashes of telegram' }).click();
      await page.locator('#sheet[open]').waitFor();
      await faults(`a crash report, ${scheme}`);
      await window.picture(`${width}-${scheme}-report`);
      await page.keyboard.press('Escape');
    }
    return window;
  },
})));
