// The matrix: which revision of the suite runs against which upstream over which way.

import { exception } from './expected.mjs';
import { Gateway } from './gateway.mjs';
import { freePort, serve } from './server.mjs';
import { OLD_SUITE, revisions } from './suite.mjs';

/** The era that a revision of the suite speaks. */
const eraOf = (revision) => (revision === '2026-07-28' ? 'modern' : 'legacy');

/** All cells of the server side. `row` and `column` say where in the table one stands. */
export function cells(fixtures, { takesUrls }) {
  const all = [dead('2025-11-25'), dead('2026-07-28')];
  for (const fixture of fixtures) {
    for (const revision of [...revisions, OLD_SUITE]) {
      if (revision === OLD_SUITE && !fixture.eras.includes('legacy')) continue;
      const isOwn = fixture.eras.includes(eraOf(revision));
      const direct = isOwn ? cell(fixture, 'direct', revision, null) : null;
      if (direct) all.push(direct);
      all.push(cell(fixture, 'stdio', revision, direct));
      all.push({ ...cell(fixture, 'http', revision, direct), waiting: takesUrls ? null : 'mcplex takes no url yet' });
    }
  }
  return all;
}

function cell(fixture, path, revision, direct) {
  return { name: `${fixture.name}/${path}/${revision}`, row: `${fixture.name}, ${ways[path]}`, column: revision, fixture, path, revision, direct };
}

const ways = { direct: 'directly over HTTP', stdio: 'mcplex, stdio', http: 'mcplex, HTTP' };

/** The control: nothing listens, so nothing may pass. */
function dead(revision) {
  return { name: `nothing/direct/${revision}`, row: 'nothing listens', column: revision, path: 'dead', revision, direct: null };
}

/** Runs one cell; gives why each scenario failed, or null. */
export async function run(cell, { suite, mcplex, world }) {
  if (cell.path === 'dead') return suite.server(cell.revision, `http://localhost:${await freePort()}/mcp`);
  if (cell.path === 'direct') return behind(await serve(cell.fixture), (url) => suite.server(cell.revision, url));
  const through = async (upstream) => {
    const gateway = new Gateway(mcplex, world, upstream);
    return behind({ stop: () => gateway.stop() }, async () => suite.server(cell.revision, await gateway.url()));
  };
  if (cell.path === 'stdio') return through({ command: cell.fixture.stdio });
  return behind(await serve(cell.fixture), (url) => through({ url }));
}

async function behind({ url, stop }, work) {
  try {
    return await work(url);
  } finally {
    await stop();
  }
}

/**
 * What is wrong with the results of a cell, by scenario: what the upstream passes by itself must
 * pass through mcplex; across eras all that is required must, but for the known exceptions.
 */
export function wrong(cell, results, { suite }) {
  const problems = [];
  if (cell.path === 'dead') return passed(results).map((scenario) => [scenario, 'it passed, and nothing listens']);
  const required = cell.revision === OLD_SUITE ? [...results.keys()] : suite.required(cell.revision, 'server');
  const expected = cell.path !== 'direct' && cell.direct ? passed(cell.direct.results ?? new Map()) : required;
  const eras = cell.fixture.eras.length === 1 ? cell.fixture.eras[0] : 'both';
  for (const scenario of new Set([...expected, ...results.keys()])) {
    const because = results.has(scenario) ? results.get(scenario) : 'it did not run';
    const excuse = cell.path === 'direct' ? null : exception(cell.revision, eras, scenario);
    if (because === null && excuse) problems.push([scenario, `it passes, although "${excuse}"`]);
    else if (because !== null && !excuse && expected.includes(scenario)) problems.push([scenario, because]);
  }
  return problems;
}

export const passed = (results) => [...results].filter(([, because]) => because === null).map(([scenario]) => scenario);
