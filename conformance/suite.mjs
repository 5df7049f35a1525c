// The official suite: its scenarios, one run of it, and what came of it.

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ended, kill, start } from './processes.mjs';
import { node } from './fixtures.mjs';

/** A scenario gets as long as the slowest server needs on a busy machine. */
const SCENARIO_LIMIT = 30_000;
const RUN_LIMIT = 240_000;

/** The older of the two suites has no lists of what is required; all that it has is. */
export const OLD_SUITE = '0.1';

/** The revisions of the specification that the suite has requirements for. */
export const revisions = ['2025-11-25', '2026-07-28'];

export class Suite {
  constructor(dir, world) {
    this.node = node(dir);
    this.packages = join(dir, 'node/node_modules/@modelcontextprotocol');
    this.world = world;
  }

  /** The scenarios of a revision for one side: `server`, `client`, or `not_scored` of either. */
  scenarios(revision, section) {
    const file = readFileSync(join(this.packages, 'conformance/requirements', `${revision}.yaml`), 'utf8');
    const body = file.split(new RegExp(`^${section}:$`, 'm'))[1]?.split(/^\w+:$/m)[0] ?? '';
    return [...body.matchAll(/^ {2}- (?:scenario: )?(\S+)(?:\n {4}leg: (\w+))?/gm)].map(([, name, leg]) => ({ name, leg }));
  }

  required(revision, side) {
    return this.scenarios(revision, side).map(({ name }) => name);
  }

  unscored(revision, side) {
    return this.scenarios(revision, 'not_scored').filter(({ leg }) => leg === side).map(({ name }) => name);
  }

  /** Runs all server scenarios of a revision against `url`. */
  server(revision, url) {
    const what = revision === OLD_SUITE ? ['--suite', 'all'] : ['--requirements', revision, '--timeout', String(SCENARIO_LIMIT)];
    return this.#run('server', revision, ['--url', url, ...what]);
  }

  /** Runs all client scenarios of a revision; `command` gets the URL of the suite's server appended. */
  client(revision, command, env) {
    // They wait for each other, so the limit of one is the limit of all.
    return this.#run('client', revision, ['--command', command, '--requirements', revision, '--timeout', String(RUN_LIMIT)], env);
  }

  /** Gives each scenario that ran: why it failed, or null. */
  async #run(side, revision, args, env = {}) {
    const out = mkdtempSync(join(this.world, 'suite-'));
    mkdirSync(join(out, 'results'));
    const program = join(this.packages, revision === OLD_SUITE ? 'conformance-0.1' : 'conformance', 'dist/index.js');
    const job = start(this.node, [program, side, ...args, '-o', join(out, 'results')], { env: { ...process.env, ...env } });
    job.child.stdin.end();
    const end = await ended(job, RUN_LIMIT);
    if (!end) kill([{ pid: job.pid }]);
    const found = results(join(out, 'results'), side);
    rmSync(out, { recursive: true, force: true });
    if (found.size === 0) throw new Error(`the suite said nothing: ${(job.err + job.out).trim().slice(-600)}`);
    return found;
  }
}

/** Reads `[side-]NAME-TIME/checks.json` for every scenario; a name may have a slash in it. */
function results(folder, side) {
  const found = new Map();
  for (const file of readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('checks.json'))) {
    const name = file.replace(/-\d{4}-\d\d-\d\dT[\d-]+Z[/\\]checks\.json$/, '').replace(/^server-/, side === 'server' ? '' : 'server-');
    found.set(name, verdict(JSON.parse(readFileSync(join(folder, file), 'utf8'))));
  }
  return found;
}

/** A scenario passes with at least one success, and neither a failure nor a warning. */
function verdict(checks) {
  const bad = checks.find(({ status }) => status === 'FAILURE') ?? checks.find(({ status }) => status === 'WARNING');
  if (bad) return `${bad.id}: ${bad.errorMessage ?? bad.description}${violation(bad)}`;
  return checks.some(({ status }) => status === 'SUCCESS') ? null : 'no check succeeded';
}

/** What a message violated, when the check is about its schema. */
function violation({ id, details }) {
  return id.startsWith('wire-schema') ? ` ${JSON.stringify(details).slice(0, 400)}` : '';
}
