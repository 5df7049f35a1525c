// A person lets mcplex use a server: `mcplex login` and `logout` against a real authorization server,
// with somebody at a browser who fills in what is asked. The server is another mcplex.

import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Gateway, configuration } from './gateway.mjs';
import { ended, kill, start, until } from './processes.mjs';

const LIMIT = 20_000;
const PAGES_MAX = 20;

/** A browser with cookies. Agrees to all that is asked, or to nothing; gives the last page. */
async function browse(address, agrees) {
  const cookies = new Map();
  let [at, form] = [new URL(address), null];
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const jar = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const page = await fetch(at, { method: form ? 'POST' : 'GET', body: form, headers: { cookie: jar }, redirect: 'manual', signal: AbortSignal.timeout(LIMIT) });
    for (const line of page.headers.getSetCookie()) {
      const [name, ...value] = line.split(';')[0].split('=');
      cookies.set(name, value.join('='));
    }
    const body = await page.text();
    form = null;
    if (page.headers.get('location')) {
      at = new URL(page.headers.get('location'), at);
      continue;
    }
    const action = body.match(/<form[^>]* action="([^"]+)"/)?.[1];
    if (!action) return { status: page.status, body };
    if (!agrees) {
      at = new URL(`${at.pathname}/abort`, at);
      continue;
    }
    const prompt = body.includes('name="login"') ? 'login' : 'consent';
    form = new URLSearchParams({ prompt, login: 'ada', password: 'x' });
    at = new URL(action, at);
  }
  throw new Error('a login has no end');
}

/** Runs `mcplex login` with somebody at the browser; gives its end, what it said and the last page. */
async function login(mcplex, file, agrees) {
  const job = start(mcplex, ['login', 'far', '-c', file, '--timeout', String(LIMIT / 1000)]);
  job.child.stdin.end();
  const address = await until(LIMIT, () => job.out.match(/^ *(http\S+response_type=code\S+)$/m)?.[1] ?? (job.child.exitCode !== null && 'none'), 20);
  const page = address?.startsWith('http') ? await browse(address, agrees) : null;
  const end = await ended(job, LIMIT);
  if (!end) kill([{ pid: job.pid }]);
  return { code: end?.code, out: job.out, err: job.err, page };
}

/** All files below a folder that end so. */
const files = (folder, end) => readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(end)).map((name) => join(folder, name));

async function run(mcplex, ...args) {
  const job = start(mcplex, args);
  job.child.stdin.end();
  const end = await ended(job, LIMIT);
  if (!end) kill([{ pid: job.pid }]);
  return { code: end?.code, text: job.out + job.err };
}

/** Whoever logs in for the server at `url`, which takes tokens of `issuer`; `echo` uses what is served. */
export async function loginChecks(mcplex, world, url, issuer, echo, check) {
  const ways = {
    'a client that registers itself': [],
    'a client that was arranged': ['[servers.auth]', 'grant = "login"', `issuer = ${JSON.stringify(issuer)}`, 'client_id = "person"', 'scopes = ["mcp", "offline_access"]'],
  };
  for (const [name, lines] of Object.entries(ways)) {
    const state = join(world.root, `login-${lines.length}`);
    const file = configuration(world, {}, [
      `state_dir = ${JSON.stringify(state)}`, '[telemetry]', 'log = "trace"', '[[servers]]', 'name = "far"', `url = ${JSON.stringify(url)}`, ...lines,
    ]);
    const no = await login(mcplex, file, false);
    check(`${name}: who says no is not logged in`, no.code === 1 && no.err.includes('access_denied') && no.page?.status === 400 ? null : `${no.code} ${no.err}`);
    let gateway = new Gateway(mcplex, file);
    const said = [];
    try {
      const front = await gateway.url();
      check(`${name}: mcplex listens`, front ? null : gateway.end());
      const told = await until(LIMIT, () => gateway.job.err.includes('mcplex login far'));
      check(`${name}: without a login it says who has to do what`, told ? null : gateway.end());
      const yes = await login(mcplex, file, true);
      check(`${name}: who says yes is logged in`, yes.code === 0 && yes.page?.status === 200 ? null : `${yes.code} ${yes.out} ${yes.err}`);
      check(`${name}: it can be renewed`, yes.out.includes('it is renewed by itself') ? null : yes.out);
      check(`${name}: the mcplex that runs gets in`, await echo(front, `after a login of ${name}`));
      const modes = files(state, '.login').map((path) => (statSync(path).mode & 0o777).toString(8));
      check(`${name}: only its owner can read it`, String(modes) === '600' ? null : String(modes));
      said.push(gateway.job.err, yes.out, yes.err);
      // Killed at any moment it goes on from what it has kept: half an hour later that is a renewal.
      gateway.job.child.kill('SIGKILL');
      await ended(gateway.job, LIMIT);
      await gateway.stop();
      age(files(state, '.login')[0]);
      gateway = new Gateway(mcplex, file);
      const again = await gateway.url();
      check(`${name}: the next process renews it`, again ? await echo(again, `in the next life of ${name}`) : gateway.end());
      age(files(state, '.login')[0]);
      said.push(gateway.job.err);
      check(`${name}: it ends well`, await gateway.stop());
      gateway = new Gateway(mcplex, file);
      const third = await gateway.url();
      check(`${name}: and the one after that`, third ? await echo(third, `in the third life of ${name}`) : gateway.end());
      const out = await run(mcplex, 'logout', 'far', '-c', file);
      check(`${name}: who logs out is forgotten here and there`, out.code === 0 && out.text.includes('is void there') ? null : out.text);
      const gone = await until(LIMIT, () => gateway.job.err.includes('nobody has logged in for'));
      check(`${name}: and mcplex asks for the next login`, gone && files(state, '.login').length === 0 ? null : gateway.end());
      said.push(gateway.job.err);
    } finally {
      check(`${name}: it ends and nothing is left`, await gateway.stop());
    }
    check(`${name}: nothing secret is told`, /eyJ[\w-]{20}/.test(said.join('')) ? 'it is' : null);
  }
}

/** What is kept seems to be at its end, so that it has to be renewed. */
function age(path) {
  const kept = JSON.parse(readFileSync(path, 'utf8'));
  kept.access.until = 1;
  writeFileSync(path, JSON.stringify(kept));
}
