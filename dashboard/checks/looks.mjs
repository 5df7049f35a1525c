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
    if (style.overflowX !== 'visible' && it.scrollWidth > it.clientWidth + 1) faults.push(`${name(it)} is cut off`);
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

export const checks = SIZES.map(([width, height]) => ({
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
}));
