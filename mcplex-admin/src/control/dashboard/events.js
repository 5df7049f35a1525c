// What happened, newest first: a line for each step that says something.

const EVENTS = 400; // lines that are shown
const EACH = 50; // of them of one upstream, so that a loop leaves the trips of others to be seen
const newest = new Map(); // the lines of each upstream, newest last

/** A line for an event. A start gives way to what came of it, and a wait stands with the death before. */
function note(event) {
  const key = label(event);
  const lines = newest.get(key) ?? [];
  newest.set(key, lines);
  const last = lines.at(-1);
  const isSame = last?.event.incarnation === event.incarnation;
  if (isSame && event.health === "recovering" && last.event.kind === "died") {
    if (event.retry_after_ms != null) put(last.querySelector(".again"), `; again in ${long(event.retry_after_ms)}`);
    return;
  }
  const isStart = last?.event.kind === "changed" && last.event.health === "recovering";
  if (isSame && (isStart || last.dataset.word === event.health)) lines.pop().remove();
  lines.push(newLine(event));
  at("events").prepend(lines.at(-1));
  if (lines.length > EACH) lines.shift().remove();
  const all = at("events");
  if (all.childElementCount > EVENTS) {
    const oldest = all.lastElementChild;
    newest.get(label(oldest.event)).shift();
    oldest.remove();
  }
  at("no-events").hidden = true;
}

function newLine(event) {
  const word = event.kind === "died" ? "died" : event.health;
  const again = event.kind !== "died" && event.retry_after_ms ? `; again in ${long(event.retry_after_ms)}` : "";
  const line = make("li", {}, when(event.at_ms, time(event.at_ms), "dim"), " ", make("strong", { textContent: label(event) }), " ", make("span", { class: "word " + word, textContent: word }), `, life ${event.incarnation}`, make("span", { class: "what", textContent: event.what ? ": " + event.what : "" }), make("span", { class: "again", textContent: again }), " ", ...trace(event.trace_id));
  line.dataset.word = word;
  line.dataset.number = event.number;
  line.event = event;
  return line;
}

function forgetEvents() {
  newest.clear();
  at("events").replaceChildren();
  at("no-events").hidden = false;
}
