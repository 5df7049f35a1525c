// The official TypeScript client, 2.x, in either era: `ts2.mjs INSTALLED_NODE_DIR`.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ASKED, CAPABILITIES, CHANGES, interpret, options } from './interpreter.mjs';

const require = createRequire(join(process.argv[2], 'package.json'));
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
const { StdioClientTransport, getDefaultEnvironment } = require('@modelcontextprotocol/client/stdio');

// This SDK talks on stdout, where the results go.
console.debug = console.error;

const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';
const LISTS = { tools: 'listTools', prompts: 'listPrompts', resources: 'listResources', templates: 'listResourceTemplates' };

function transport(target) {
  if (target.url) return new StreamableHTTPClientTransport(new URL(target.url));
  const env = { ...getDefaultEnvironment(), ...target.env };
  return new StdioClientTransport({ command: target.command, args: target.args, env, stderr: 'inherit' });
}

const both = (client) => ({
  list: (what, cursor) => client[LISTS[what]](cursor === undefined ? undefined : { cursor }, options),
  read: ({ uri }) => client.readResource({ uri }, options),
  prompt: ({ name, arguments: args }) => client.getPrompt({ name, arguments: args }, options),
  complete: ({ ref, argument }) => client.complete({ ref, argument }, options),
  close: async () => {
    await client.transport.terminateSession?.();
    await client.close();
  },
});

const legacy = (client) => ({
  ping: () => client.ping(options),
  call: ({ name, arguments: args }, _session, more) => client.callTool({ name, arguments: args }, { ...options, ...more }),
  level: ({ level }) => client.setLoggingLevel(level, options),
  subscribe: ({ uri }) => client.subscribeResource({ uri }, options),
  unsubscribe: ({ uri }) => client.unsubscribeResource({ uri }, options),
});

/** Since 2026-07-28 a level goes with every request, and a subscription is a stream. */
async function modern(client) {
  const streams = new Map();
  let _meta;
  await client.listen({ toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true });
  return {
    ping: () => client.discover(options).then(() => ({})),
    call: ({ name, arguments: args }, _session, more) =>
      client.callTool({ name, arguments: args, ...(_meta && { _meta }) }, { ...options, ...more }),
    level: ({ level }) => void (_meta = { [LOG_LEVEL]: level }),
    subscribe: async ({ uri }) => void streams.set(uri, await client.listen({ resourceSubscriptions: [uri] })),
    unsubscribe: ({ uri }) => streams.get(uri).close(),
  };
}

await interpret(async (target, mode, on) => {
  const isModern = mode === 'modern';
  const versionNegotiation = { mode: isModern ? { pin: '2026-07-28' } : 'legacy' };
  const client = new Client({ name: 'interop-ts2', version: '2' }, { capabilities: CAPABILITIES, versionNegotiation });
  for (const method of ASKED) client.setRequestHandler(method, ({ params }) => on.answer(method, params));
  client.setNotificationHandler('notifications/message', ({ params }) => on.note('log', params));
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => on.note('updated', params));
  for (const method of CHANGES) client.setNotificationHandler(method, () => on.note('changed', method));
  await client.connect(transport(target), options);
  return { ...(isModern ? await modern(client) : legacy(client)), ...both(client) };
});
