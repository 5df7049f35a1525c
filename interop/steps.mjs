// What scenarios are made of. A step is plain data that the clients of all languages interpret:
//
// id       what a line of the report calls it
// server   who answers it: a direct run gives each server its own steps, a run through mcplex
//          gives one client all of them
// verb     what the client does; the rest are its arguments
// check    says what is wrong with the answer, whoever gave it
// refused  the answer must be an error; `alike` errors need not be the same
// legacy   why only a client with a session can have it; others leave it out
// needs    a feature of the client without which the step is left out

export const nonEmpty = (value) => (value.length > 0 ? null : 'the list is empty');
export const notError = (value) => (value?.isError ? `an error result: ${JSON.stringify(value.content)}` : null);
export const equals = (expected) => (value) =>
  JSON.stringify(value) === JSON.stringify(expected) ? null : `${JSON.stringify(value)} instead of ${JSON.stringify(expected)}`;
export const mentions = (text) => (value) =>
  JSON.stringify(value).includes(text) ? null : `no ${JSON.stringify(text)} in ${JSON.stringify(value).slice(0, 300)}`;

export const call = (server, name, args, check = notError) => ({
  id: `call ${name}`, server, verb: 'call', name, arguments: args, check,
});

/** All four lists of all servers; `wanted` gives the check of one. */
export const lists = (names, wanted) =>
  ['tools', 'prompts', 'resources', 'templates'].flatMap((what) =>
    names.map((server) => ({ id: `list ${what}`, server, verb: 'list', what, check: wanted(server, what) })));

/** Says what is wrong with one result of a step, or null. */
export function fault(step, result, client) {
  if (!result) return 'the client did not get that far';
  const refused = Boolean(result.error) || result.ok?.isError === true;
  if (step.refused) return refused ? null : `it was accepted: ${JSON.stringify(result.ok).slice(0, 300)}`;
  if (result.error) return `${result.error.code ?? ''} ${result.error.message}`.trim();
  if (step.within && result.ms > step.within) return `it took ${result.ms} ms`;
  return step.check ? step.check(result.ok, client) : null;
}
