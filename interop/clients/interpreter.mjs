// Interprets the steps of a scenario on a client of the TypeScript SDK, of either major version.
//
// `open` connects and gives the verbs that the versions spell differently:
// ping list call read prompt complete level subscribe unsubscribe close

export const TIMEOUT = 30_000;
export const options = { timeout: TIMEOUT };
export const CAPABILITIES = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };
export const ASKED = ['sampling/createMessage', 'elicitation/create', 'roots/list'];
export const CHANGES = ['tools', 'prompts', 'resources'].map((what) => `notifications/${what}/list_changed`);

const events = [];
const asked = {};

/** A specification from stdin, the results of its steps as one JSON line on stdout. */
export async function interpret(open) {
  const { target, steps, answers, mode = 'legacy' } = JSON.parse(await readStdin());
  const session = await open(target, mode, {
    answer: (method, params) => {
      asked[method] = params;
      // Who has opened a page has nothing to fill in.
      return params?.mode === 'url' ? { action: 'accept' } : answers[method];
    },
    note: (event, params) => events.push({ event, text: JSON.stringify(params) }),
  });
  const results = [];
  for (const step of steps) results.push(await run(session, step));
  await session.close();
  process.stdout.write(`${JSON.stringify({ results })}\n`, () => process.exit(0));
}

async function run(session, step) {
  const begin = performance.now();
  const took = () => Math.round(performance.now() - begin);
  try {
    const ok = await (verbs[step.verb] ?? session[step.verb])(step, session);
    return { ok: ok ?? {}, ms: took() };
  } catch (error) {
    return { error: { code: error.code, message: error.message }, ms: took() };
  }
}

// A verb that is not here is the session's own.
const verbs = {
  list: ({ what }, session) => listAll(session, what),
  asked: ({ method }) => asked[method] ?? 'nothing',
  await: ({ event, pattern }) => seen(event, pattern),
  ready,
  progress,
  cancel,
  repeat,
};

async function listAll(session, what) {
  const items = [];
  let cursor;
  for (let page = 0; page < 100; page += 1) {
    const answer = await emptyIfUnknown(session.list(what, cursor));
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
async function ready({ tools }, session) {
  let missing = tools;
  for (const end = Date.now() + TIMEOUT; Date.now() < end; await sleep(200)) {
    const names = new Set((await listAll(session, 'tools')).map((tool) => tool.name));
    missing = tools.filter((name) => !names.has(name));
    if (missing.length === 0) return 'ready';
  }
  throw new Error(`tools still missing: ${missing.join(' ')}`);
}

async function progress(step, session) {
  const notes = [];
  const result = await session.call(step, session, { onprogress: (note) => notes.push(note) });
  return { result, progress: notes };
}

/** Cancels a call at its first progress. */
async function cancel(step, session) {
  const abort = new AbortController();
  try {
    return await session.call(step, session, { onprogress: () => abort.abort('enough'), signal: abort.signal });
  } catch (error) {
    if (abort.signal.aborted) return 'cancelled';
    throw error;
  }
}

/** Calls again and again; answers how long each took. */
async function repeat(step, session) {
  const took = [];
  for (let at = 0; at < step.times; at += 1) {
    const begin = performance.now();
    const result = await session.call(step, session);
    if (result.isError) throw new Error(`call ${at}: ${JSON.stringify(result.content)}`);
    took.push(Math.round(performance.now() - begin));
    await sleep(step.every);
  }
  return took;
}

async function seen(event, pattern) {
  for (const end = Date.now() + 10_000; Date.now() < end; await sleep(20)) {
    if (events.some((one) => one.event === event && new RegExp(pattern).test(one.text))) return 'seen';
  }
  throw new Error(`no ${event} with ${pattern} among ${JSON.stringify(events)}`);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function readStdin() {
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  return text;
}
