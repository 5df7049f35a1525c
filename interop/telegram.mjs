// The culprit of the original incident, beside the others: without credentials
// it dies in its handshake, again and again. It must trip, and nobody may notice.

import { drive } from './clients.mjs';
import { until } from './processes.mjs';

const TRIP_LIMIT = 120_000; // deaths come slowly where the machine is busy
const LAST_WORDS = 'Client not created'; // of its traceback, above a border of box characters
const SPAWNS = 6; // more than 5 deaths in 60 s trip
const SLOW = 5_000; // ms; two cores are shared with a crash loop and three clients

/** The line about the trip, colours taken off. */
const trip = (log) =>
  log.replace(/\x1b\[[0-9;]*m/g, '').split('\n').find((line) => /\btrip/i.test(line) && line.includes('telegram'));

export async function telegramChecks(gateway, client, url, world, check) {
  const { watch, job } = gateway;
  // Not a tool of server-everything: that one asks its clients back, and with calls of two clients
  // in flight mcplex must refuse to guess whom it means.
  const tool = 'list_allowed_directories';
  const again = { id: 'again', verb: 'repeat', name: tool, arguments: {}, times: 140, every: 250 };
  const ready = { id: 'ready', verb: 'ready', tools: [tool] };
  const calls = drive(client, { url }, [ready, again], world);
  const line = await until(TRIP_LIMIT, () => trip(job.err));
  watch.look();
  const spawns = watch.spawns();

  check('telegram: it trips', line ? null : `no line about it on stderr within ${TRIP_LIMIT / 1000} s; ${spawns} spawns: ${gateway.end()}`);
  check('telegram: its last words are in the trip message', line?.includes(LAST_WORDS) ? null : `no "${LAST_WORDS}" in: ${line}`);
  check(`telegram: at most ${SPAWNS} spawns before the trip`, spawns >= 1 && spawns <= SPAWNS ? null : `${spawns} spawns`);

  const outcome = await calls;
  const result = outcome.results?.[1];
  check('telegram: the others answer all along', outcome.why ?? result.error?.message ?? null);
  const slowest = result?.ok ? Math.max(...result.ok) : Infinity;
  check('telegram: calls of the others stay quick', slowest < SLOW ? null : `the slowest took ${slowest} ms`);
  check('telegram: never more than one process of it', watch.most <= 1 ? null : `${watch.most} at once`);
  check('telegram: no spawn right after the trip', watch.spawns() <= SPAWNS ? null : `${watch.spawns()} spawns`);
}
