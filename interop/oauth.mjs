// mcplex as a resource server: tokens of a real authorization server, good ones and all kinds of
// bad ones, and a client nobody here wrote that gets its tokens by itself. Then mcplex as a client: a
// second one gets tokens for the first.

import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gateway, configuration } from './gateway.mjs';
import { loginChecks } from './login.mjs';
import { ended, kill, sleep, start, until } from './processes.mjs';

const START_LIMIT = 15_000;
const ANSWER_LIMIT = 20_000;
const EXTRA_AUDIENCE = 'http://127.0.0.1/short';

/** An authorization server that ends with its stdin. */
export class Provider {
  constructor(dir, env = {}) {
    const script = fileURLToPath(new URL('oauth/provider.mjs', import.meta.url));
    this.job = start(process.execPath, [script, join(dir, 'node')], { env: { ...process.env, ...env } });
  }

  issuer() {
    return until(START_LIMIT, () => this.job.out.includes('\n') && JSON.parse(this.job.out).issuer, 20);
  }

  async stop() {
    this.job.child.stdin.end();
    if (!(await ended(this.job, 5_000))) kill([{ pid: this.job.pid }]);
  }
}

/** A token for `resource` that its client asks for with its password. */
async function token(issuer, client, resource, scope = 'mcp') {
  const secret = `the secret of ${client}/+:`;
  const encoded = [client, secret].map((text) => encodeURIComponent(text)).join(':');
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(encoded).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource, ...(scope && { scope }) }),
  });
  const body = await response.json();
  if (!body.access_token) throw new Error(`no token: ${JSON.stringify(body)}`);
  return body.access_token;
}

const initialize = JSON.stringify({
  jsonrpc: '2.0', id: 1, method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'interop-oauth', version: '1' } },
});

/** One request; gives its status, challenge and session. */
async function ask(url, authorization, { method = 'POST', session, body = initialize } = {}) {
  const headers = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
  if (authorization) headers.authorization = authorization;
  if (session) headers['mcp-session-id'] = session;
  const response = await fetch(url, { method, headers, body: method === 'POST' ? body : undefined, signal: AbortSignal.timeout(ANSWER_LIMIT) });
  await response.body?.cancel();
  return { status: response.status, challenge: response.headers.get('www-authenticate'), session: response.headers.get('mcp-session-id') };
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const parts = (jwt) => jwt.split('.');
const decoded = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());

/** Tokens that nobody issued, made of a good one and what everybody can read. */
function forgeries(good, keys) {
  const [header, payload, signature] = parts(good);
  const head = decoded(header);
  const claims = decoded(payload);
  const more = part({ ...claims, scope: 'mcp tools admin' });
  const forged = {
    'a changed payload': `${header}.${more}.${signature}`,
    'no signature': `${header}.${payload}.`,
    'the algorithm none': `${part({ ...head, alg: 'none' })}.${payload}.`,
    'the algorithm NoNe and the old signature': `${part({ ...head, alg: 'NoNe' })}.${payload}.${signature}`,
    'a critical extension': `${part({ ...head, crit: ['b64'], b64: false })}.${payload}.${signature}`,
  };
  const key = keys.find((one) => one.kid === head.kid);
  const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  for (const [name, password] of [['PEM', pem], ['JWK', JSON.stringify(key)], ['modulus', Buffer.from(key.n, 'base64url')]]) {
    const signed = `${part({ ...head, alg: 'HS256' })}.${payload}`;
    forged[`HS256 by the public key as ${name}`] = `${signed}.${createHmac('sha256', password).update(signed).digest('base64url')}`;
  }
  return forged;
}

/** What differs from what is expected of a refusal, or null. */
function refusal(answer, status, error) {
  if (answer.status !== status) return `status ${answer.status} instead of ${status}`;
  const challenge = answer.challenge ?? '';
  if (!challenge.startsWith('Bearer resource_metadata="http://127.0.0.1:')) return `challenge: ${challenge}`;
  if (!challenge.includes('scope="mcp"')) return `no scope in the challenge: ${challenge}`;
  const found = challenge.match(/error="([^"]*)"/)?.[1] ?? null;
  return found === error ? null : `error ${found} instead of ${error}`;
}

const admitted = (answer) => (answer.status === 200 ? null : `status ${answer.status}: ${answer.challenge}`);

async function metadata(url, issuer, check) {
  for (const path of ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource']) {
    const response = await fetch(new URL(path, url));
    const found = await response.json();
    const expected = { resource: url, authorization_servers: [issuer], scopes_supported: ['mcp'], bearer_methods_supported: ['header'], resource_name: found.resource_name };
    const same = JSON.stringify(found) === JSON.stringify(expected);
    check(`${path} says where tokens are to be had`, response.status === 200 && same ? null : JSON.stringify(found));
  }
}

const sdkOf = (dir) => {
  const require = createRequire(join(dir, 'node', 'package.json'));
  return (path) => require(`@modelcontextprotocol/sdk/client/${path}`);
};

/** Says something to the server that echoes, with the official client; says what is wrong, or null. */
async function echo(sdk, url, words, options) {
  const transport = new (sdk('streamableHttp.js').StreamableHTTPClientTransport)(new URL(url), options);
  const client = new (sdk('index.js').Client)({ name: 'interop-oauth', version: '1' });
  try {
    await client.connect(transport, { timeout: ANSWER_LIMIT });
    const ready = async () => (await client.listTools()).tools.some((tool) => tool.name === 'echo');
    for (let tries = 0; !(await ready()) && tries < 100; tries += 1) await sleep(100);
    const { content } = await client.callTool({ name: 'echo', arguments: { message: words } });
    await transport.terminateSession();
    return content[0]?.text === `Echo: ${words}` ? null : JSON.stringify(content);
  } catch (error) {
    return error.message;
  } finally {
    await client.close();
  }
}

/** The official client finds everything by itself, from the address and its credentials. */
async function officialClient(dir, url, issuer) {
  const sdk = sdkOf(dir);
  const { ClientCredentialsProvider } = sdk('auth-extensions.js');
  const authProvider = new ClientCredentialsProvider({ clientId: 'official', clientSecret: 'plain-secret', scope: 'mcp', expectedIssuer: issuer });
  const why = await echo(sdk, url, 'with a token', { authProvider });
  return { why, token: authProvider.tokens()?.access_token };
}

/** A second mcplex is the client of the first one, and gets its own tokens for it. */
async function mcplexAsClient(mcplex, dir, world, url, issuer, key, check) {
  const ways = {
    'a secret in the header': ['client_id = "es"', 'client_secret = "the secret of es/+:"'],
    'a secret in the form': ['client_id = "poster"', 'client_secret = "the secret of poster"', 'secret_in = "form"'],
    'a private key': ['client_id = "signer"', `private_key = ${JSON.stringify(key)}`, 'key_id = "signer-1"'],
    'a wrong secret': ['client_id = "es"', 'client_secret = "guess"'],
  };
  for (const [name, lines] of Object.entries(ways)) {
    const file = configuration(world, {}, [
      '[telemetry]', 'log = "debug"', '[[servers]]', 'name = "far"', `url = ${JSON.stringify(url)}`,
      '[servers.auth]', `issuer = ${JSON.stringify(issuer)}`, 'scopes = ["mcp"]', ...lines,
    ]);
    const gateway = new Gateway(mcplex, file);
    try {
      const front = await gateway.url();
      if (name === 'a wrong secret') {
        const told = front && (await until(ANSWER_LIMIT, () => gateway.job.err.includes('invalid_client')));
        check(`mcplex as a client by ${name} says why`, told ? null : gateway.end());
        continue;
      }
      // What a client shows to the second one is not for the first one, which would refuse it.
      const requestInit = { headers: { authorization: 'Bearer of-another-kind' } };
      const why = front ? await echo(sdkOf(dir), front, `by ${name}`, { requestInit }) : gateway.end();
      check(`mcplex gets in as a client by ${name}`, why);
    } finally {
      check(`mcplex as a client by ${name} ends and nothing is left`, await gateway.stop());
      check(`mcplex as a client by ${name} tells nothing secret`, /eyJ[\w-]{20}|the secret of|PRIVATE KEY/.test(gateway.job.err + gateway.job.out) ? 'it does' : null);
    }
  }
}

export async function oauthChecks(mcplex, dir, world, everything, check) {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  const [ours, theirs] = [new Provider(dir, { SIGNER_KEY: key }), new Provider(dir)];
  const [issuer, stranger] = await Promise.all([ours.issuer(), theirs.issuer()]);
  check('two authorization servers listen', issuer && stranger ? null : ours.job.err + theirs.job.err);
  if (!issuer || !stranger) return;
  // All that the server behind ever sees.
  const record = join(world.root, 'oauth');
  const recorder = {
    command: 'bash',
    args: ['-c', 'env > "$0.env"; tee "$0.in" | "$@"', record, everything.command, ...everything.args],
  };
  const file = configuration(world, { recorder }, [
    '[telemetry]', 'log = "trace"', '',
    '[auth]', `issuers = [${JSON.stringify(issuer)}]`, 'scopes = ["mcp"]', `audiences = ["${EXTRA_AUDIENCE}"]`, 'skew = "0s"', '',
  ]);
  const gateway = new Gateway(mcplex, file);
  const tokens = [];
  const got = async (...how) => {
    tokens.push(await token(...how));
    return tokens.at(-1);
  };
  try {
    const url = await gateway.url();
    check('mcplex listens', url ? null : gateway.end());
    if (!url) return;
    for (const method of ['POST', 'GET', 'DELETE']) {
      check(`${method} without a token`, refusal(await ask(url, null, { method }), 401, null));
    }
    check('GET of HTTP+SSE without a token', refusal(await ask(new URL('/sse', url), null, { method: 'GET' }), 401, null));
    await metadata(url, issuer, check);

    const good = await got(issuer, 'rs', url);
    check('a token in the URL is none', refusal(await ask(`${url}?access_token=${good}`), 401, null));
    check('a password is no token', refusal(await ask(url, 'Basic YTpi'), 401, null));
    for (const client of ['rs', 'ps', 'es', 'es384', 'ed']) {
      check(`a good token of ${client}`, admitted(await ask(url, `Bearer ${await got(issuer, client, url)}`)));
    }
    const wrong = {
      'a token for another resource': await got(issuer, 'es', 'https://other.example/mcp'),
      'a token of another issuer': await got(stranger, 'es', url),
      'no JWT': 'opaque',
      ...forgeries(good, (await (await fetch(`${issuer}/jwks`)).json()).keys),
    };
    for (const [name, bad] of Object.entries(wrong)) {
      tokens.push(bad);
      check(`${name}`, refusal(await ask(url, `Bearer ${bad}`), 401, 'invalid_token'));
    }
    const little = await got(issuer, 'es', url, 'tools');
    check('a token that allows too little', refusal(await ask(url, `Bearer ${little}`), 403, 'insufficient_scope'));
    const short = await got(issuer, 'es', EXTRA_AUDIENCE);
    check('a token for another name of ours', admitted(await ask(url, `Bearer ${short}`)));
    await until(5_000, () => Date.now() / 1000 > decoded(parts(short)[1]).exp, 50);
    check('the same token when it has expired', refusal(await ask(url, `Bearer ${short}`), 401, 'invalid_token'));

    const { session } = await ask(url, `Bearer ${good}`);
    const ping = JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'ping' });
    const pinged = async (jwt) => (await ask(url, jwt && `Bearer ${jwt}`, { session, body: ping })).status;
    const statuses = [await pinged(good), await pinged(await got(issuer, 'ed', url)), await pinged(null)];
    check('a session is its principal\'s alone', String(statuses) === '200,404,401' ? null : `statuses ${statuses}`);

    const official = await officialClient(dir, url, issuer);
    check('the official client gets in by itself', official.why);
    tokens.push(official.token ?? good);
    await mcplexAsClient(mcplex, dir, world, url, issuer, key, check);
    await loginChecks(mcplex, world, url, issuer, (front, words) => echo(sdkOf(dir), front, words), check);
  } finally {
    check('mcplex ends on SIGTERM and nothing is left', await gateway.stop());
    await Promise.all([ours.stop(), theirs.stop()]);
  }
  const seen = ['env', 'in'].map((end) => `${record}.${end}`).filter(existsSync).map((path) => readFileSync(path, 'utf8'));
  check('the server behind was recorded', seen.length === 2 && seen[1].includes('with a token') ? null : 'there is no record');
  // A signature, or a payload where there is none, is in no other text by chance.
  const words = tokens.flatMap((jwt) => parts(jwt)).filter((word) => word.length > 30);
  const told = (text) => words.find((word) => text.includes(word));
  check('no token reaches the server behind', told(seen.join('\n')) ?? null);
  check('no token is in a log line', told(gateway.job.err + gateway.job.out) ?? null);
  check('there were log lines', gateway.job.err.includes('a token was refused') ? null : gateway.end());
}
