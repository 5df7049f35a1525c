// Proves mcplex with real servers and clients:
// run.mjs --mcplex BIN --dir DIR [--only NAME] [--jobs N] [--record DIR] [--direct] [--verbose]

import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { recordsIn } from '../conformance/record/record.mjs';
import { clients } from './clients.mjs';
import { oauthChecks } from './oauth.mjs';
import * as old from './old.mjs';
import { Row } from './rows.mjs';
import * as today from './scenario.mjs';
import { taskChecks } from './tasks.mjs';
import { telegramChecks } from './telegram.mjs';
import { makeWorld } from './world.mjs';

const { values: flags } = parseArgs({
  options: {
    mcplex: { type: 'string' }, dir: { type: 'string' }, only: { type: 'string', default: '' }, jobs: { type: 'string', default: '3' },
    record: { type: 'string', default: '' },
    direct: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false },
  },
});
if (!flags.dir || (!flags.mcplex && !flags.direct)) {
  console.error('usage: run.mjs --dir DIR (--mcplex BIN | --direct) [--only NAME] [--jobs N] [--record DIR] [--verbose]');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const dir = resolve(flags.dir);
const sets = { today, old };
const everyone = clients(dir);
// What mcplex says to anybody in all rows, for `mcplex-judge`.
const records = recordsIn(flags.record && resolve(flags.record));
const began = performance.now();
const ran = [];

/** Runs one way of a row, says what fails, and keeps the count for the table. */
async function settle(name, way) {
  const run = { name, passed: 0, failed: 0 };
  const start = performance.now();
  const report = (check, because) => {
    if (because) run.failed += 1;
    else run.passed += 1;
    const why = String(because).replace(/\s+/g, ' ').slice(0, 900);
    if (because || flags.verbose) console.log(because ? `FAIL ${name}: ${check} because ${why}` : `ok   ${name}: ${check}`);
  };
  await way(report);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${run.failed > 0 ? 'FAIL' : 'ok  '} ${name.padEnd(24)} ${String(run.passed).padStart(4)} of ${String(run.passed + run.failed).padStart(4)} ${seconds.padStart(6)} s`);
  ran.push(run);
}

/** Directly first, which is what the ways through mcplex are compared with. */
async function settleRow(client, setName) {
  const name = (way) => `${client.name}/${way}/${setName}`;
  const ways = ['http', 'stdio', ...(client.modern ? ['modern-http', 'modern-stdio'] : []), ...(sets[setName].remote && client.urls ? ['url'] : [])];
  const wanted = (flags.direct ? ['direct'] : ways).filter((way) => name(way).includes(flags.only));
  const isIncident = client === everyone[0] && setName === 'today' && !flags.direct && 'telegram'.includes(flags.only);
  if (wanted.length === 0 && !isIncident) return;
  // The results name files of the world, so the direct run and those compared with it share one.
  const world = makeWorld(name('row'));
  const set = { servers: sets[setName].servers(dir, world), steps: sets[setName].steps(world) };
  const row = new Row(client, set, world, flags.mcplex && resolve(flags.mcplex), records);
  await settle(name('direct'), (report) => row.directly(report));
  if (row.isBroken) return;
  if (isIncident) {
    const beside = (report) => (gateway, url) => telegramChecks(gateway, client, url, world, report);
    const more = { telegram: { ...today.telegram(dir), isUnwatched: true } };
    await settle(name('http'), (report) => row.overHttp(report, undefined, more, beside(report)));
  } else if (wanted.includes('http')) {
    await settle(name('http'), (report) => row.overHttp(report));
  }
  if (wanted.includes('stdio')) await settle(name('stdio'), (report) => row.overStdio(report));
  if (wanted.includes('url')) await settle(name('url'), (report) => row.toUrls(report, sets[setName].remote(dir, world)));
  if (wanted.includes('modern-http')) await settle(name('modern-http'), (report) => row.overHttp(report, client.modern));
  if (wanted.includes('modern-stdio')) await settle(name('modern-stdio'), (report) => row.overStdio(report, client.modern));
}

const queue = Object.keys(sets).flatMap((set) => everyone.map((client) => [client, set]));
const worker = async () => {
  for (let next = queue.shift(); next; next = queue.shift()) await settleRow(...next);
};
// The first row has the incident in it, whose deaths must be quick to count as a crash loop: one
// worker more waits until it is over.
const first = settleRow(...queue.shift());
const beside = Array.from({ length: Number(flags.jobs) - 2 }, () => first.then(worker));
await Promise.all([first.then(worker), worker(), ...beside]);

if (!flags.direct && 'oauth'.includes(flags.only)) {
  const world = makeWorld('oauth');
  const { everything } = today.servers(dir, world);
  await settle('oauth', (report) => oauthChecks(resolve(flags.mcplex), dir, world, everything, report));
}

if (!flags.direct && 'tasks'.includes(flags.only)) {
  await settle('tasks', (report) => taskChecks(resolve(flags.mcplex), dir, makeWorld('tasks'), everyone, records, report));
}

const failed = ran.filter((run) => run.failed > 0);
const checks = ran.reduce((sum, run) => sum + run.passed, 0);
console.log(`\n${ran.length} runs, ${checks} checks passed, ${failed.length} runs failed: ${failed.map((run) => run.name).join(' ') || 'none'}; ${((performance.now() - began) / 1000).toFixed(0)} s`);
process.exit(failed.length > 0 || checks === 0 ? 1 : 0);
