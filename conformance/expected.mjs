// What cannot pass, each with its reason from the specification.
//
// side       'server' or 'client': which scenarios are meant
// scenario   its name, or a pattern
// revision   the revision of the suite; any when it is left out
// fixture    its name; any when it is left out
// upstream   what the upstream speaks, 'legacy', 'modern' or 'both'; any when it is left out
// path       'direct', 'stdio' or 'http'; any when it is left out
// because    why it cannot pass
//
// A run fails as well when one of these passes: then it has to go.

const exceptions = [
  {
    side: 'server', scenario: 'server-sse-polling', revision: '0.1',
    because: 'the suite sends MCP-Protocol-Version 2025-03-26 there, whose clients take an event without data for a message',
  },
  {
    side: 'server', scenario: 'server-sse-polling', revision: '2025-11-25', path: /^(stdio|http)$/,
    because: 'it wants a stream that the server ends early; mcplex has the answer before it opens a stream, and sends it as JSON (2025-11-25, transports: either is allowed)',
  },
  {
    side: 'server', scenario: 'input-required-result-basic-elicitation', upstream: 'legacy',
    because: 'it looks for the key `user_name`; SEP-2322 leaves the keys to the server, and a request of a legacy server has but an id',
  },
  {
    side: 'server', scenario: 'input-required-result-ignore-extra-params', upstream: 'legacy',
    because: 'it answers before it is asked and without a requestState; a legacy server has to ask first, and no question of it is open',
  },
  {
    side: 'server', scenario: 'input-required-result-capability-check', fixture: 'typescript-v2-legacy',
    because: 'capabilities are declared once to a legacy server (2025-11-25, lifecycle), and this one gives up a call when one of its questions is refused',
  },
  {
    side: 'server', scenario: 'tasks-status-notifications',
    because: 'it checks nothing: the suite says of it that it has to be written anew for subscriptions/listen',
  },
  {
    side: 'server', scenario: /^tasks-/, revision: '2026-07-28', fixture: 'typescript-v2-legacy', path: /^(stdio|http)$/,
    because: 'tasks are an extension (SEP-2663), and in its sessions this server has none',
  },
  {
    side: 'server', scenario: 'tasks-required-task-error', upstream: 'legacy',
    because: 'it wants -32021 for a tool that is a task alone; SEP-2663 has that for what cannot be served without one, and mcplex serves it: it waits for the task itself',
  },
  {
    side: 'client', scenario: /^auth\//, path: 'direct',
    because: 'the script has neither credentials nor a browser; mcplex has',
  },
  {
    side: 'client', scenario: 'auth/enterprise-managed-authorization', path: 'http',
    because: 'an extension (SEP-990): a grant for the sign-on of a company, which exchanges a token of a person that mcplex never has',
  },
  {
    side: 'client', scenario: 'auth/wif-jwt-bearer', path: 'http',
    because: 'an extension (SEP-1933): a grant for workloads, whose platform gives them a signed name; mcplex shows a key of its own instead',
  },
  {
    side: 'client', scenario: /^auth\/dpop/, path: 'http',
    because: 'an extension (SEP-1932): tokens that are bound to a key; mcplex asks for bearer tokens, which every server of the specification takes',
  },
];

/** The reason why a scenario cannot pass in a cell, if it is known not to. */
export function excuse(cell) {
  const matches = (wanted, is) => wanted === undefined || wanted === is || (wanted instanceof RegExp && wanted.test(is));
  return exceptions.find((one) => ['side', 'scenario', 'revision', 'fixture', 'upstream', 'path'].every((key) => matches(one[key], cell[key])))?.because;
}
