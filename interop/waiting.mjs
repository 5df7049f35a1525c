// What mcplex cannot do yet, in one place: what waits here is counted and left out.

/** Why a step of a stateless client has to wait, or undefined. */
export const waits = (step) => (step.asksBack ? 'a server with sessions cannot ask a stateless client yet' : undefined);
