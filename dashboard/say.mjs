// How a check says what is wrong, and what it has measured.

let notes = [];

/** Something to be read beside the name of the check. */
export function say(text) {
  notes.push(text);
}

/** What was said since the last time. */
export function said() {
  const all = notes.join(', ');
  notes = [];
  return all;
}

export function check(isTrue, otherwise) {
  if (!isTrue) throw new Error(otherwise);
}

export function equal(found, expected, what) {
  check(found === expected, `${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`);
}
