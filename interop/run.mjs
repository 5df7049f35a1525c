// Proves mcplex with real servers and clients:
// run.mjs --mcplex BIN --dir DIR [--only NAME] [--direct] [--verbose]

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { clients, drive } from './clients.mjs';
import { difference, listDifference } from './compare.mjs';
import { Gateway, configuration } from './gateway.mjs';
import { fault, servers, steps, telegram } from './scenario.mjs';
import { telegramChecks } from './telegram.mjs';

const { values: flags } = parseArgs({
  options: {
    mcplex: { type: 'string' }, dir: { type: 'string' }, only: { type: 'string', default: '' },
    direct: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false },
  },
});
if (!flags.dir || (!flags.mcplex && !flags.direct)) {
  console.error('usage: run.mjs --dir DIR (--mcplex BIN | --direct) [--only NAME] [--verbose]');
  process.exit(2);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

let passed = 0;
let failed = 0;

/** Prints one check; `because` is null when it holds. */
function check(name, because) {
  if (because) failed += 1;
  else passed += 1;
  console.log(because ? `FAIL ${name} because ${because}` : `ok   ${name}`);
}

function makeWorld() {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'mcplex-interop-')));
  const world = { root, files: join(root, 'files'), memory: join(root, 'memory.json'), repository: join(root, 'repository') };
  mkdirSync(world.files);
  mkdirSync(world.repository);
  const date = '2026-01-01T00:00:00Z';
  const env = { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date, GIT_CONFIG_GLOBAL: '/dev/null' };
  const git = (...args) => execFileSync('git', ['-C', world.repository, ...args], { env, stdio: 'pipe' });
  git('init', '-q', '-b', 'main');
  writeFileSync(join(world.repository, 'a.txt'), 'a\n');
  git('add', '.');
  git('-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', 'commit', '-q', '-m', 'the only commit');
  return world;
}

const world = makeWorld();
const dir = resolve(flags.dir);
const commands = servers(dir, world);
const scenario = steps(world);
const selected = (name) => name.includes(flags.only);

/** What the client gets from each server itself, by step. Reports what is wrong already here. */
async function directly(client) {
  const found = new Map();
  await Promise.all(Object.entries(commands).map(async ([server, command]) => {
    const own = scenario.filter((step) => step.server === server);
    const outcome = await drive(client, command, own, world, client.direct);
    if (flags.verbose) console.error(outcome.stderr);
    if (outcome.why) check(`${client.name}/direct ${server}: connect and end`, outcome.why);
    own.forEach((step, at) => {
      found.set(step, outcome.results?.[at] ?? { error: { message: 'the direct run failed' } });
      if (outcome.results) check(`${client.name}/direct ${server}: ${step.id}`, fault(step, found.get(step)));
    });
    if (outcome.leftovers.length > 0) check(`${client.name}/direct ${server}: nothing is left`, `left: ${JSON.stringify(outcome.leftovers)}`);
  }));
  return found;
}

/** The lists of all servers are one list through the gateway, so they are one step there. */
function merged() {
  const kept = new Set();
  return scenario.filter((step) => {
    const name = { list: step.what, ping: 'ping' }[step.verb];
    if (!name) return true;
    if (kept.has(name)) return false;
    return kept.add(name);
  });
}

/** Runs the whole scenario through mcplex and compares with the direct results. */
async function throughMcplex(label, client, target, direct) {
  const union = (what) =>
    scenario.filter((step) => step.verb === 'list' && step.what === what).flatMap((step) => direct.get(step).ok ?? []);
  const ready = { id: 'all tools are listed', verb: 'ready', tools: union('tools').map((tool) => tool.name) };
  const todo = [ready, ...merged()];
  const outcome = await drive(client, target, todo, world);
  if (flags.verbose) console.error(outcome.stderr);
  check(`${label}: connect and end`, outcome.why);
  if (!outcome.results) return;
  todo.forEach((step, at) => {
    const result = outcome.results[at];
    let because = fault(step, result);
    if (!because && step.verb === 'list') because = listDifference(step.what, union(step.what), result.ok);
    else if (!because && step !== ready) because = difference(step, direct.get(step), result);
    check(`${label}: ${step.id}`, because);
  });
  const left = outcome.leftovers.map((row) => `${row.pid} ${row.command}`).join(', ');
  check(`${label}: nothing is left`, left && `left: ${left}`);
}

async function overHttp(direct) {
  const wanted = clients(dir).filter((client) => direct.has(client.name) && selected(`${client.name}/http`));
  if (wanted.length === 0 && !selected('telegram')) return;
  const file = configuration(world, 'http', { ...commands, telegram: telegram(dir) });
  const gateway = new Gateway(flags.mcplex, file);
  try {
    const url = await gateway.url();
    check('http: mcplex listens', url ? null : `no address on its stderr: ${gateway.end()}`);
    if (!url) return;
    const beside = selected('telegram') ? telegramChecks(gateway, clients(dir)[0], url, world, check) : null;
    for (const client of wanted) await throughMcplex(`${client.name}/http`, client, { url }, direct.get(client.name));
    await beside;
  } finally {
    check('http: mcplex ends on SIGTERM and nothing is left', await gateway.stop());
    if (flags.verbose) console.error(gateway.job.err);
  }
}

async function overStdio(direct) {
  const file = configuration(world, 'stdio', commands);
  const target = { command: resolve(flags.mcplex), args: ['stdio', '-c', file] };
  for (const client of clients(dir)) {
    const label = `${client.name}/stdio`;
    if (direct.has(client.name) && selected(label)) await throughMcplex(label, client, target, direct.get(client.name));
  }
}

try {
  const direct = new Map();
  for (const client of clients(dir)) {
    const names = flags.direct ? ['direct'] : ['http', 'stdio'];
    if (names.some((name) => selected(`${client.name}/${name}`))) direct.set(client.name, await directly(client));
  }
  if (!flags.direct) {
    await overHttp(direct);
    await overStdio(direct);
  }
} finally {
  rmSync(world.root, { recursive: true, force: true });
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
