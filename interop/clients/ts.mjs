// The official TypeScript client, 1.x. Reads a specification from stdin, prints
// the results of its steps as one JSON line on stdout. `ts.mjs INSTALLED_NODE_DIR`.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.argv[2], 'package.json'));
const sdk = (path) => require(`@modelcontextprotocol/sdk/${path}`);
const { Client } = sdk('client/index.js');
const { StdioClientTransport, getDefaultEnvironment } = sdk('client/stdio.js');
const { StreamableHTTPClientTransport } = sdk('client/streamableHttp.js');
const types = sdk('types.js');

const TIMEOUT = 30_000;
const options = { timeout: TIMEOUT };
const events = [];
const asked = {};

async function main() {
  const { target, steps, answers } = JSON.parse(await readStdin());
  const client = new Client(
    { name: 'interop-ts', version: '1' },
    { capabilities: { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } } },
  );
  for (const [schema, method] of [
    [types.CreateMessageRequestSchema, 'sampling/createMessage'],
    [types.ElicitRequestSchema, 'elicitation/create'],
    [types.ListRootsRequestSchema, 'roots/list'],
  ]) {
    client.setRequestHandler(schema, (request) => {
      asked[method] = request.params;
      return answers[method];
    });
  }
  client.setNotificationHandler(types.LoggingMessageNotificationSchema, ({ params }) => events.push({ event: 'log', params }));
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, ({ params }) => events.push({ event: 'updated', params }));

  await client.connect(transport(target), options);
  const results = [];
  for (const step of steps) results.push(await run(client, step));
  await client.transport.terminateSession?.();
  await client.close();
  process.stdout.write(`${JSON.stringify({ server: client.getServerVersion(), results })}\n`, () => process.exit(0));
}

function transport(target) {
  if (target.url) return new StreamableHTTPClientTransport(new URL(target.url));
  const env = { ...getDefaultEnvironment(), ...target.env };
  return new StdioClientTransport({ command: target.command, args: target.args, env, stderr: 'inherit' });
}

async function run(client, step) {
  const begin = performance.now();
  const took = () => Math.round(performance.now() - begin);
  try {
    const ok = await verbs[step.verb](client, step);
    return { ok: ok ?? {}, ms: took() };
  } catch (error) {
    return { error: { code: error.code, message: error.message }, ms: took() };
  }
}

const verbs = {
  ping: (client) => client.ping(options),
  list: (client, { what }) => listAll(client, what),
  call: (client, { name, arguments: args }) => client.callTool({ name, arguments: args }, undefined, options),
  read: (client, { uri }) => client.readResource({ uri }, options),
  prompt: (client, { name, arguments: args }) => client.getPrompt({ name, arguments: args }, options),
  complete: (client, { ref, argument }) => client.complete({ ref, argument }, options),
  level: (client, { level }) => client.setLoggingLevel(level, options),
  subscribe: (client, { uri }) => client.subscribeResource({ uri }, options),
  unsubscribe: (client, { uri }) => client.unsubscribeResource({ uri }, options),
  asked: (_client, { method }) => asked[method] ?? 'nothing',
  await: (_client, { event, pattern }) => seen(event, pattern),
  ready,
  progress,
  cancel,
  repeat,
};

const LISTS = { tools: 'listTools', prompts: 'listPrompts', resources: 'listResources', templates: 'listResourceTemplates' };

async function listAll(client, what) {
  const items = [];
  let cursor;
  for (let page = 0; page < 100; page += 1) {
    const answer = await emptyIfUnknown(client[LISTS[what]]({ cursor }, options));
    items.push(...(answer[what] ?? answer.resourceTemplates ?? []));
    cursor = answer.nextCursor;
    if (cursor === undefined) return items;
  }
  throw new Error('more than 100 pages');
}

/** A server without prompts or resources has an empty list of them. */
async function emptyIfUnknown(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.code === -32601 || /does not support/.test(error.message)) return {};
    throw error;
  }
}

/** Waits until every named tool is listed. */
async function ready(client, { tools }) {
  let missing = tools;
  for (const end = Date.now() + TIMEOUT; Date.now() < end; await sleep(200)) {
    const names = new Set((await listAll(client, 'tools')).map((tool) => tool.name));
    missing = tools.filter((name) => !names.has(name));
    if (missing.length === 0) return 'ready';
  }
  throw new Error(`tools still missing: ${missing.join(' ')}`);
}

async function progress(client, { name, arguments: args }) {
  const notes = [];
  const onprogress = (note) => notes.push(note);
  const result = await client.callTool({ name, arguments: args }, undefined, { ...options, onprogress });
  return { result, progress: notes };
}

/** Cancels a call at its first progress. */
async function cancel(client, { name, arguments: args }) {
  const abort = new AbortController();
  const onprogress = () => abort.abort('enough');
  try {
    return await client.callTool({ name, arguments: args }, undefined, { ...options, onprogress, signal: abort.signal });
  } catch (error) {
    if (abort.signal.aborted) return 'cancelled';
    throw error;
  }
}

/** Calls again and again; answers how long each took. */
async function repeat(client, { name, arguments: args, times, every }) {
  const took = [];
  for (let at = 0; at < times; at += 1) {
    const begin = performance.now();
    const result = await client.callTool({ name, arguments: args }, undefined, options);
    if (result.isError) throw new Error(`call ${at}: ${JSON.stringify(result.content)}`);
    took.push(Math.round(performance.now() - begin));
    await sleep(every);
  }
  return took;
}

async function seen(event, pattern) {
  for (const end = Date.now() + 10_000; Date.now() < end; await sleep(20)) {
    if (events.some((one) => one.event === event && new RegExp(pattern).test(JSON.stringify(one.params)))) return 'seen';
  }
  throw new Error(`no ${event} with ${pattern} among ${JSON.stringify(events)}`);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function readStdin() {
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  return text;
}

await main();
