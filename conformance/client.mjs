// The client under test, as the suite starts it: `client.mjs URL`, with the URL of its server.
//
// mcplex stands between: it gets that URL as its only upstream, and a scripted client on the
// TypeScript SDK makes it use whatever the server offers. With CONFORMANCE_WAY=direct the client
// connects to the suite by itself, which shows what the script can make happen at all.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { exampleOf } from './example.mjs';
import { Gateway } from './gateway.mjs';
import { recordsIn } from './record/record.mjs';

/** Whatever takes longer hangs; the suite waits for all scenarios together, and does not reach what
 * runs below its shell. Two logins with a server that refuses in between take 12 s. */
const LIMIT = 50_000;

const env = process.env;
const url = process.argv.at(-1);
const scenario = env.MCP_CONFORMANCE_SCENARIO;
const context = JSON.parse(env.MCP_CONFORMANCE_CONTEXT ?? '{}');

/** What was refused so far. */
let failures = 0;

function makeClient() {
  const capabilities = { roots: {}, sampling: {}, elicitation: { form: { applyDefaults: true }, url: {} } };
  const mode = env.CONFORMANCE_CLIENT === 'modern' ? { pin: '2026-07-28' } : 'legacy';
  const client = new Client({ name: 'mcplex-conformance', version: '1' }, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler('elicitation/create', ({ params }) => ({ action: 'accept', content: filledIn(params.requestedSchema) }));
  client.setRequestHandler('sampling/createMessage', () => ({
    role: 'assistant', model: 'none', stopReason: 'endTurn', content: { type: 'text', text: 'Paris' },
  }));
  client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///workspace', name: 'workspace' }] }));
  return client;
}

/** What the user fills in: nothing that has a default. */
function filledIn(schema) {
  const entries = Object.entries(schema?.properties ?? {}).filter(([, property]) => !('default' in property));
  return Object.fromEntries(entries.map(([name, property]) => [name, exampleOf(property)]));
}

/** Does one thing; a refusal is an answer too, and the suite judges what it saw. */
async function attempt(what, work) {
  try {
    return await work();
  } catch (error) {
    failures += 1;
    console.error(`${what}: ${error.message}`);
    return null;
  }
}

async function script(client) {
  const { tools } = (await attempt('tools/list', () => client.listTools())) ?? { tools: [] };
  for (const call of calls(tools)) await attempt(`tools/call ${call.name}`, () => client.callTool(call));

  const { prompts } = (await attempt('prompts/list', () => client.listPrompts())) ?? { prompts: [] };
  for (const { name, arguments: wanted } of prompts) {
    const values = Object.fromEntries((wanted ?? []).map((argument) => [argument.name, 'something']));
    await attempt(`prompts/get ${name}`, () => client.getPrompt({ name, arguments: values }));
  }
  const { resources } = (await attempt('resources/list', () => client.listResources())) ?? { resources: [] };
  for (const { uri } of resources) await attempt(`resources/read ${uri}`, () => client.readResource({ uri }));
}

/** The calls to make: those the scenario names, or one of every tool. */
function calls(tools) {
  if (context.toolCalls) return context.toolCalls;
  const [focal] = tools;
  return tools.map(({ name, inputSchema }) => ({
    name,
    // This tool wants to see what came through of the schema of another one.
    arguments: name === 'json_schema_echo' ? { schema: focal.inputSchema } : exampleOf(inputSchema),
  }));
}

async function use(endpoint) {
  const client = makeClient();
  await client.connect(new StreamableHTTPClientTransport(new URL(endpoint)));
  await script(client);
  await client.close();
}

/** What an operator writes down for the upstream, of what the scenario gives; null where nothing is. */
async function auth() {
  const { client_id, client_secret, private_key_pem, issuer } = context;
  if (scenario.startsWith('auth/client-credentials')) {
    const secret = client_secret ? { client_secret } : { private_key: private_key_pem };
    return { client_id, ...secret, issuer: await issuerOf(url) };
  }
  if (scenario === 'auth/pre-registration') return { grant: 'login', issuer, client_id, client_secret };
  if (scenario === 'auth/basic-cimd') return { grant: 'login', client_document: 'https://conformance-test.local/client-metadata.json' };
  return null;
}

/** Credentials are for one issuer; the scenario leaves it to an operator to look up whose they are. */
async function issuerOf(resource) {
  const { origin, pathname } = new URL(resource);
  const found = await fetch(`${origin}/.well-known/oauth-protected-resource${pathname}`);
  return (await found.json()).authorization_servers[0];
}

/** A person at a browser, where the authorization server agrees at once: goes wherever it is sent. */
async function browser(address) {
  for (let at = address, hops = 0; at && hops < 5; hops += 1) {
    const page = await fetch(at, { redirect: 'manual' });
    const to = page.headers.get('location');
    await page.body?.cancel();
    at = to && new URL(to, at).href;
  }
}

async function throughMcplex() {
  const wantsAuth = scenario.startsWith('auth/');
  // Tokens are for the address of a server, and a proxy has another one.
  const upstream = { url, auth: wantsAuth ? await auth() : null, isUnwatched: wantsAuth };
  const gateway = await Gateway.plan(env.CONFORMANCE_MCPLEX, env.CONFORMANCE_WORLD, upstream, recordsIn(env.CONFORMANCE_RECORD));
  const isPersonal = wantsAuth && !scenario.startsWith('auth/client-credentials');
  if (isPersonal) await gateway.login(browser);
  gateway.start();
  try {
    const attempted = await attempt('the first use', async () => (await use(await gateway.url()), true));
    // A server may have found out meanwhile that it wants more, or somebody else; a person who sees
    // that logs in again, once.
    if (isPersonal && (!attempted || failures > 0 || !(await gateway.isReady()))) {
      await gateway.login(browser);
      await use(await gateway.url());
    }
  } finally {
    await gateway.stop();
  }
}

setTimeout(() => process.exit(1), LIMIT).unref();
await attempt(scenario, () => (env.CONFORMANCE_WAY === 'direct' ? use(url) : throughMcplex()));
process.exit(0); // the limits of what is over already would be waited for
