// Compares what a client got through mcplex with what it got from the servers directly.

import { isDeepStrictEqual } from 'node:util';

const KEYS = { tools: 'name', prompts: 'name', resources: 'uri', templates: 'uriTemplate' };

/** Replaces what differs from one moment to the next: dates, times of day, sessions. */
function timeless(value) {
  if (typeof value === 'string') {
    return value.replace(/(for session) \S+/, '$1 NAME').replace(/\d{4}-\d\d-\d\d/g, 'DATE').replace(/\d{1,2}:\d\d:\d\d(\.\d+)?Z?( [AP]M)?/g, 'TIME');
  }
  if (Array.isArray(value)) return value.map(timeless);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, timeless(one)]));
}

// What results have since 2026-07-28 alone.
const SINCE_MODERN = ['resultType', 'ttlMs', 'cacheScope'];

/** A result without what only one era has. */
function ageless(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const rest = Object.fromEntries(Object.entries(value).filter(([key]) => !SINCE_MODERN.includes(key)));
  if (!rest._meta) return rest;
  const { 'io.modelcontextprotocol/serverInfo': _server, ...meta } = rest._meta;
  if (Object.keys(meta).length > 0) rest._meta = meta;
  else delete rest._meta;
  return rest;
}

/** What is compared of a result; `alike` steps only have to be refused on both sides. */
function essence(step, result) {
  if (step.alike) return 'refused';
  if (result.error) return { code: result.error.code, message: result.error.message };
  // How many notifications a client passes on is its own affair (see the scenario).
  if (step.verb === 'progress') return timeless(ageless(result.ok.result));
  // The tokens in a request's metadata are another on every hop.
  if (step.verb === 'asked') return timeless({ ...result.ok, _meta: undefined, mode: result.ok.mode ?? (step.method === 'elicitation/create' ? 'form' : undefined) });
  return timeless(ageless(result.ok));
}

/** Says where the result through mcplex differs from the direct one, or null. */
export function difference(step, direct, through, isModern) {
  const [expected, got] = [essence(step, direct), essence(step, through)];
  // The id of a page to open is for a notification that only sessions have; the Rust SDK shows one
  // that is not there as an empty one. That none is sent is judged by the records.
  if (isModern && step.verb === 'asked') for (const asked of [expected, got]) delete asked.elicitationId;
  return isDeepStrictEqual(expected, got) ? null : `directly it is ${short(expected)}, through mcplex ${short(got)}`;
}

/**
 * The same for a list: the union of the servers' own lists, item by item. More may be listed to a
 * client that `cannot` be asked, and tools have nothing about tasks when it `isModern`.
 */
export function listDifference(what, direct, through, { cannot = false, isModern = false } = {}) {
  const key = KEYS[what];
  if (isModern) direct = direct.map(({ execution: _tasks, ...item }) => item);
  const expected = new Map(direct.map((item) => [item[key], item]));
  const got = new Map(through.map((item) => [item[key], item]));
  const missing = [...expected.keys()].filter((name) => !got.has(name));
  const extra = [...got.keys()].filter((name) => !expected.has(name));
  if (missing.length > 0 || (extra.length > 0 && !cannot)) return `missing: ${missing.join(' ') || 'none'}; too many: ${extra.join(' ') || 'none'}`;
  if (got.size !== through.length) return 'an item is listed twice';
  for (const [name, item] of expected) {
    if (!isDeepStrictEqual(item, got.get(name))) return `${name}: directly ${short(item)}, through mcplex ${short(got.get(name))}`;
  }
  return null;
}

const short = (value) => JSON.stringify(value).slice(0, 600);
