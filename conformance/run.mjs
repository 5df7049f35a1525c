// Judges mcplex by the official conformance suite:
// run.mjs --mcplex BIN --dir DIR [--only NAME] [--jobs N] [--record DIR] [--json] [--verbose]

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cells, failed, passed, required, wrong } from './cells.mjs';
import { fixtures } from './fixtures.mjs';
import { takesUrls } from './gateway.mjs';
import { recordsIn } from './record/record.mjs';
import { OLD_SUITE, Suite, revisions } from './suite.mjs';
import { table } from './table.mjs';

const { values: flags } = parseArgs({
  options: {
    mcplex: { type: 'string' }, dir: { type: 'string' }, only: { type: 'string', default: '' }, jobs: { type: 'string', default: '2' },
    record: { type: 'string', default: '' },
    json: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false },
  },
});
if (!flags.dir || !flags.mcplex) {
  console.error('usage: run.mjs --mcplex BIN --dir DIR [--only NAME] [--jobs N] [--record DIR] [--json] [--verbose]');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const [mcplex, dir] = [resolve(flags.mcplex), resolve(flags.dir)];
const world = realpathSync(mkdtempSync(join(tmpdir(), 'mcplex-conformance-')));
process.once('exit', () => rmSync(world, { recursive: true, force: true }));
const suite = new Suite(dir, world);
// What mcplex says to anybody in all cells, for `mcplex-judge`.
const record = flags.record && resolve(flags.record);
const context = { suite, mcplex, dir, world, record, records: recordsIn(record) };

/** Runs one cell and says how it went; what it found stays in it. */
async function settle(cell) {
  if (cell.waiting) return report(cell, 'wait');
  const began = performance.now();
  try {
    cell.results = await cell.run(context);
  } catch (error) {
    cell.failed = error.message;
  }
  cell.seconds = (performance.now() - began) / 1000;
  cell.problems = cell.failed ? [['the run', cell.failed]] : wrong(cell, cell.results, suite);
  report(cell, cell.problems.length > 0 ? 'FAIL' : 'ok');
}

function report(cell, verdict) {
  const time = cell.seconds === undefined ? '' : `${cell.seconds.toFixed(1)} s`;
  console.error(`${verdict.padEnd(4)} ${cell.name.padEnd(42)} ${score(cell).padStart(14)} ${time.padStart(8)}${cell.waiting ? ` ${cell.waiting}` : ''}`);
  for (const [because, scenarios] of reasons(cell.problems ?? [])) {
    console.error(`       ${scenarios.join(', ')}: ${flags.verbose ? because : because.slice(0, 200)}`);
  }
}

/** Scenarios by why they failed: many often fail for one reason. */
function reasons(problems) {
  const found = new Map();
  for (const [scenario, because] of problems) {
    const words = because.replace(/^[\w$.-]+: /, '').replace(/\s+/g, ' '); // without the check, which is often named like the scenario
    found.set(words, [...(found.get(words) ?? []), scenario]);
  }
  return found;
}

/** How many of the required scenarios passed, then how many of those that do not score. */
function score(cell) {
  if (cell.waiting) return 'waiting';
  if (cell.failed) return 'failed';
  const good = passed(cell.results);
  const scored = required(cell, cell.results, suite);
  const isRequired = (scenario) => scored.includes(scenario);
  const extra = [...cell.results.keys()].filter((scenario) => !isRequired(scenario)).length;
  const more = extra > 0 ? ` +${good.filter((scenario) => !isRequired(scenario)).length}/${extra}` : '';
  return `${good.filter(isRequired).length}/${scored.length}${more}`;
}

/** Works off `todo` with as many at once as the machine can take. */
async function work(todo) {
  const queue = [...todo];
  const worker = async () => {
    for (let cell = queue.shift(); cell; cell = queue.shift()) await settle(cell);
  };
  await Promise.all(Array.from({ length: Number(flags.jobs) }, worker));
}

const all = cells(fixtures(dir), takesUrls(mcplex, world));
const chosen = all.filter((cell) => cell.name.includes(flags.only));
const done = all.filter((cell) => chosen.includes(cell) || chosen.some(({ reference }) => reference === cell));
const began = performance.now();
await work(done.filter((cell) => cell.isFirst));
await work(done.filter((cell) => !cell.isFirst));

const bad = done.filter((cell) => cell.problems?.length > 0);
if (flags.json) {
  console.log(JSON.stringify(done.map(({ name, seconds, waiting, problems, results }) => ({
    name, seconds, waiting, problems, passed: results && passed(results), failed: results && failed(results),
  })), null, 2));
} else {
  console.log(table(done, [...revisions, OLD_SUITE], score));
}
const waits = done.filter((cell) => cell.waiting).length;
console.log(`${done.length - bad.length - waits} cells are as they must be, ${bad.length} are not, ${waits} wait; ${((performance.now() - began) / 1000).toFixed(0)} s`);
process.exit(bad.length > 0 || done.length === 0 ? 1 : 0);
