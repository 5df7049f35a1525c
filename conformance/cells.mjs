// The matrix: which revision of the suite runs against which upstream over which way, and with
// which client of mcplex it runs as a server itself.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { excuse } from './expected.mjs';
import { script } from './fixtures.mjs';
import { Gateway } from './gateway.mjs';
import { freePort, serve } from './server.mjs';
import { OLD_SUITE, revisions } from './suite.mjs';

/** The era that a revision of the suite speaks. */
const eraOf = (revision) => (revision === '2026-07-28' ? 'modern' : 'legacy');
const ways = { direct: 'directly over HTTP', stdio: 'mcplex, stdio', http: 'mcplex, HTTP' };

/**
 * All cells. Each has a `name`, its place in the table (`row`, `revision`), and `run(context)`, which
 * gives why each scenario failed, or null. What passes in its `reference` must pass in it; without
 * one all that is required must. `excuses(scenario)` names the reason where it cannot.
 */
export function cells(fixtures, takesUrls) {
  const waiting = takesUrls ? null : 'mcplex takes no url yet';
  return [...revisions.map(nothing), ...fixtures.flatMap((fixture) => serverCells(fixture, waiting)), ...clientCells(waiting)];
}

/** The control: nothing listens, so nothing may pass. */
function nothing(revision) {
  return {
    name: `nothing/direct/${revision}`, row: 'nothing listens', revision, side: 'server', isFirst: true, isControl: true,
    run: async ({ suite }) => suite.server(revision, `http://localhost:${await freePort()}/mcp`),
  };
}

function serverCells(fixture, waiting) {
  const upstream = fixture.eras.length === 1 ? fixture.eras[0] : 'both';
  const cells = [...revisions, OLD_SUITE].flatMap((revision) => {
    const isOwn = fixture.eras.includes(eraOf(revision));
    if (revision === OLD_SUITE && !isOwn) return [];
    const cell = (path, rest) => ({
      name: `${fixture.name}/${path}/${revision}`, row: `${fixture.name}, ${ways[path]}`, revision, side: 'server', path,
      excuses: (scenario) => excuse({ side: 'server', revision, fixture: fixture.name, upstream, path, scenario }), ...rest,
    });
    const direct = isOwn && cell('direct', {
      isFirst: true, run: async ({ suite }) => ending(await serve(fixture), ({ url }) => suite.server(revision, url)),
    });
    const through = async ({ suite, mcplex, world, records }, target) =>
      ending(await Gateway.open(mcplex, world, target, records), async (gateway) => suite.server(revision, await gateway.url()));
    return [
      ...(direct ? [direct] : []),
      cell('stdio', { reference: direct, run: (context) => through(context, { command: fixture.stdio }) }),
      cell('http', {
        reference: direct, waiting, run: async (context) => ending(await serve(fixture), ({ url }) => through(context, { url })),
      }),
    ];
  });
  return Object.keys(ways).flatMap((path) => cells.filter((cell) => cell.path === path));
}

async function ending(thing, work) {
  try {
    return await work(thing);
  } finally {
    await thing.stop();
  }
}

/** mcplex between a client of one era and the suite's server; and that client alone, as a control. */
function clientCells(waiting) {
  return revisions.flatMap((revision) => {
    const cell = (path, era, rest) => ({
      name: `client/${path === 'direct' ? path : era}/${revision}`, revision, side: 'client',
      row: path === 'direct' ? 'the scripted client, directly' : `mcplex as client, for a ${era} client`,
      excuses: (scenario) => excuse({ side: 'client', revision, path, scenario }),
      run: ({ suite, mcplex, dir, world, record }) => suite.client(revision, command(dir, join(world, `${path}-${era}-${revision}.lock`)), {
        CONFORMANCE_WAY: path, CONFORMANCE_CLIENT: era, CONFORMANCE_MCPLEX: mcplex, CONFORMANCE_WORLD: world, CONFORMANCE_RECORD: record,
      }),
      ...rest,
    });
    return [
      cell('direct', eraOf(revision), { isFirst: true }),
      cell('http', 'legacy', { waiting }),
      cell('http', 'modern', { waiting }),
    ];
  });
}

/**
 * The suite starts the clients of all scenarios at once, and times some of them. One after the other
 * they are judged by what they do, not by what else the machine does.
 */
function command(dir, lock) {
  const words = ['flock', lock, ...script(dir, fileURLToPath(new URL('client.mjs', import.meta.url)))];
  return words.map((word) => `"${word}"`).join(' ');
}

/** What is wrong with the results of a cell: pairs of a scenario and why. */
export function wrong(cell, results, suite) {
  if (cell.isControl) return passed(results).map((scenario) => [scenario, 'it passed, and nothing listens']);
  // As a client and across eras mcplex answers for what the suite runs without scoring it, too: each
  // extension is there or has its reason.
  const ran = cell.side === 'client' || cell.path !== 'direct' ? [...results.keys()] : [];
  const expected = cell.reference?.results ? passed(cell.reference.results) : [...required(cell, results, suite), ...ran];
  const problems = [];
  for (const scenario of new Set([...expected, ...results.keys()])) {
    const because = results.has(scenario) ? results.get(scenario) : 'it did not run';
    const reason = cell.excuses(scenario);
    if (because === null && reason) problems.push([scenario, `it passes, although: ${reason}`]);
    else if (because !== null && !reason && expected.includes(scenario)) problems.push([scenario, because]);
  }
  return problems;
}

/** What a revision requires. The older suite has no such list, so there it is all that ran. */
export function required(cell, results, suite) {
  return cell.revision === OLD_SUITE ? [...results.keys()] : suite.required(cell.revision, cell.side);
}

export const passed = (results) => [...results].filter(([, because]) => because === null).map(([scenario]) => scenario);

/** Why each of the others failed. */
export const failed = (results) => Object.fromEntries([...results].filter(([, because]) => because !== null));
