// The official TypeScript client, 1.x: `ts1.mjs INSTALLED_NODE_DIR`.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ASKED, CAPABILITIES, CHANGES, interpret, options } from './interpreter.mjs';

const require = createRequire(join(process.argv[2], 'package.json'));
const sdk = (path) => require(`@modelcontextprotocol/sdk/${path}`);
const { Client } = sdk('client/index.js');
const { StdioClientTransport, getDefaultEnvironment } = sdk('client/stdio.js');
const { StreamableHTTPClientTransport } = sdk('client/streamableHttp.js');
const types = sdk('types.js');

/** The schema that this version wants instead of the name of a method. */
const schema = (method) =>
  Object.values(types).find((type) => type?.shape?.method?.value === method);

function transport(target) {
  if (target.url) return new StreamableHTTPClientTransport(new URL(target.url));
  const env = { ...getDefaultEnvironment(), ...target.env };
  return new StdioClientTransport({ command: target.command, args: target.args, env, stderr: 'inherit' });
}

const LISTS = { tools: 'listTools', prompts: 'listPrompts', resources: 'listResources', templates: 'listResourceTemplates' };

/** Calls a tool as a task and waits for its end; the SDK asks for it meanwhile. */
async function task(client, { name, arguments: args, cancel }) {
  const { tasks } = client.experimental;
  const seen = { states: [], progress: 0 };
  const more = { ...options, task: { ttl: 60_000 }, onprogress: () => (seen.progress += 1) };
  const note = (state) => seen.states.at(-1) === state || seen.states.push(state);
  for await (const message of tasks.callToolStream({ name, arguments: args }, undefined, more)) {
    if (message.type === 'taskCreated') {
      note('created');
      if (cancel) await tasks.cancelTask(message.task.taskId, options);
    } else if (message.type === 'taskStatus') note(message.task.status);
    else if (message.type === 'result') return { ...seen, result: message.result };
    else return { ...seen, error: { code: message.error.code, message: message.error.message } };
  }
  throw new Error('the task has no end');
}

await interpret(async (target, _mode, on) => {
  const client = new Client({ name: 'interop-ts1', version: '1' }, { capabilities: CAPABILITIES });
  for (const method of ASKED) client.setRequestHandler(schema(method), ({ params }) => on.answer(method, params));
  client.setNotificationHandler(schema('notifications/message'), ({ params }) => on.note('log', params));
  client.setNotificationHandler(schema('notifications/resources/updated'), ({ params }) => on.note('updated', params));
  for (const method of CHANGES) client.setNotificationHandler(schema(method), () => on.note('changed', method));
  await client.connect(transport(target), options);
  return {
    ping: () => client.ping(options),
    list: (what, cursor) => client[LISTS[what]]({ cursor }, options),
    call: ({ name, arguments: args }, _session, more) => client.callTool({ name, arguments: args }, undefined, { ...options, ...more }),
    read: ({ uri }) => client.readResource({ uri }, options),
    prompt: ({ name, arguments: args }) => client.getPrompt({ name, arguments: args }, options),
    complete: ({ ref, argument }) => client.complete({ ref, argument }, options),
    level: ({ level }) => client.setLoggingLevel(level, options),
    subscribe: ({ uri }) => client.subscribeResource({ uri }, options),
    unsubscribe: ({ uri }) => client.unsubscribeResource({ uri }, options),
    task: (step) => task(client, step),
    tasks: async () => (await client.experimental.tasks.listTasks(undefined, options)).tasks.map(({ status }) => status),
    close: async () => {
      await client.transport.terminateSession?.();
      await client.close();
    },
  };
});
