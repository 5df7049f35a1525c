// The page in a real browser: run.mjs --mcplex BIN --fake-server BIN --dir DIR [--only NAME] [--pictures DIR]

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Browser } from './browser.mjs';
import { checks as doors } from './checks/doors.mjs';
import { checks as lives } from './checks/lives.mjs';
import { checks as looks } from './checks/looks.mjs';
import { checks as trips } from './checks/trips.mjs';
import { said } from './say.mjs';
import { World } from './world.mjs';

const { values: flags } = parseArgs({
  options: {
    mcplex: { type: 'string' }, 'fake-server': { type: 'string' }, dir: { type: 'string' },
    only: { type: 'string', default: '' }, pictures: { type: 'string', default: '' },
  },
});
if (!flags.mcplex || !flags['fake-server'] || !flags.dir) {
  console.error('usage: run.mjs --mcplex BIN --fake-server BIN --dir DIR [--only NAME] [--pictures DIR]');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const began = performance.now();
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1).padStart(5)} s`;
const wanted = [...trips, ...lives, ...looks, ...doors].filter((one) => one.name.includes(flags.only));
const world = await World.make({ mcplex: resolve(flags.mcplex), fakeServer: resolve(flags['fake-server']) });
const starting = Promise.all([Browser.start(resolve(flags.dir), flags.pictures && resolve(flags.pictures)), world.start()]);
const [browser] = await starting.catch((error) => {
  console.error(`error: ${error.message}`);
  process.exit(1);
});

/** What is wrong, or null. */
async function run(one) {
  try {
    const window = await one.run(world, browser);
    return (await window.close(world.origin)).join('; ') || null;
  } catch (error) {
    await browser.lastPicture();
    return error.message;
  } finally {
    await browser.closeAll();
  }
}

let failed = 0;
for (const one of wanted) {
  const start = performance.now();
  const wrong = await run(one);
  failed += wrong ? 1 : 0;
  const notes = said();
  console.log(`${wrong ? 'FAIL' : 'ok  '} ${seconds(start)}  ${one.name}${notes ? ` (${notes})` : ''}${wrong ? ` because ${wrong.replace(/\s+/g, ' ').slice(0, 900)}` : ''}`);
}
await browser.stop();
await world.stop();
console.log(`\n${wanted.length - failed} checks passed, ${failed} failed; ${seconds(began).trim()}`);
process.exit(failed > 0 || wanted.length === 0 ? 1 : 0);
