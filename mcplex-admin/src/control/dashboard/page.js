// Looks and listens, and shows what it sees. Made of questions to the API that anybody may ask.

const EVENTS = 200; // lines that are shown
const PAST = 100; // events that are kept of each upstream, as the API does
const TOOLS = 200; // rows that are shown
const EVERY = 500; // at most two looks per second, however fast an upstream dies
const CALM = 5000; // a look without an event, for tools
const TICK = 1000; // times go on without a look
const AGAIN = 2000; // how long to wait for a server that has gone

/** What happened to each upstream, by its label, oldest first. */
let timeline = new Map();
let isLocked = false;
let listening = 0; // which of the loops that listen is meant
let seen = 0; // when the fleet was looked at last

/** There is no token, or it is not the right one. */
function lock() {
  isLocked = true;
  const had = sessionStorage.getItem("token");
  sessionStorage.removeItem("token");
  if (at("door").hidden || had) put(at("door-why"), had ? "The token that was given is not the one of this mcplex." : "No token was given.");
  at("all").hidden = true;
  at("lost").hidden = true;
  const isNew = at("door").hidden;
  at("door").hidden = false;
  link("off", "no token");
  if (isNew && document.activeElement === document.body) at("token").focus();
}

function unlock() {
  isLocked = false;
  at("all").hidden = false;
  if (at("door").hidden) return;
  const hadFocus = at("door").contains(document.activeElement);
  at("door").hidden = true;
  if (hadFocus) at("main").focus();
}

function link(kind, text) {
  at("link").className = "link " + kind;
  put(at("link"), text);
}

/** mcplex is not there, or does not say what happens; what is shown is as it was. */
function lose(error) {
  if (isLocked || at("link").classList.contains("off")) return;
  link("off", "not connected");
  const why = error instanceof Refused ? `No events: ${error.message}.` : "mcplex does not answer.";
  const old = seen ? ` What follows is how it was at ${time(seen)}.` : "";
  put(at("lost"), `${why}${old} It is asked again every ${AGAIN / 1000} s.`);
  at("lost").hidden = false;
}

function remember(event) {
  const key = label(event);
  const of = timeline.get(key) ?? [];
  if (of.some((it) => it.number === event.number)) return false;
  of.push(event);
  timeline.set(key, of.slice(-PAST));
  return true;
}

/** A line for an event. The next step of the same moment replaces the one before. */
function note(event) {
  const list = at("events");
  const word = event.kind === "died" ? "died" : event.health;
  const what = event.what ? ": " + event.what : "";
  const again = event.kind !== "died" && event.retry_after_ms ? `; again in ${long(event.retry_after_ms)}` : "";
  const line = make("li", {}, make("time", { class: "dim", textContent: time(event.at_ms) }), " ", make("strong", { textContent: label(event) }), " ", make("span", { class: "word " + word, textContent: word }), `, life ${event.incarnation}${what}${again} `, ...trace(event.trace_id));
  line.dataset.same = `${label(event)} ${word} ${event.incarnation}`;
  line.dataset.number = event.number;
  if (list.firstElementChild?.dataset.same === line.dataset.same) list.firstElementChild.replaceWith(line);
  else list.prepend(line);
  while (list.childElementCount > EVENTS) list.lastElementChild.remove();
}

/** What an event says of its upstream is shown at once; the rest comes with the next look. */
function hear(event) {
  if (!remember(event)) return;
  note(event);
  const it = cards.get(label(event));
  if (!it) return;
  if (event.kind === "changed") {
    const { health, incarnation, pid, deaths, what, retry_after_ms } = event;
    it.upstream = { ...it.upstream, health, incarnation, pid, deaths, reason: what, retry_after_ms, uptime_ms: health === "ready" ? 0 : null };
    it.heard = Date.now();
    // A loop would never let a voice end: only a trip, and that one is back after it. A look may
    // have shown it before the event came, so what counts is what was said.
    if (health === "tripped" && !it.isTripped) say(`${label(event)} is tripped`);
    if (health === "ready" && it.isTripped) say(`${label(event)} is ready again`);
    if (health === "tripped" || health === "ready") it.isTripped = health === "tripped";
    showSum();
  }
  showCard(it);
}

function tools(all) {
  all.sort((one, other) => other.calls - one.calls || one.tool.localeCompare(other.tool));
  at("no-tools").hidden = all.length > 0;
  at("figures").hidden = all.length === 0;
  const body = at("tools");
  const shown = all.slice(0, TOOLS);
  while (body.childElementCount > shown.length) body.lastElementChild.remove();
  shown.forEach((it, index) => {
    const row = body.children[index] ?? body.appendChild(newRow());
    const texts = [it.tool, it.upstream ?? "", it.calls, it.errors, short(it.p50_us), short(it.p95_us), short(it.p99_us), short(it.max_us)];
    texts.forEach((text, column) => put(row.children[column], String(text)));
    row.children[3].classList.toggle("some", it.errors > 0);
  });
}

function newRow() {
  const cell = (name) => {
    const it = make("td", { class: "n", role: "cell" });
    it.dataset.label = name;
    return it;
  };
  const head = make("th", { role: "rowheader", scope: "row" });
  return make("tr", { role: "row" }, head, make("td", { class: "owner", role: "cell" }), ...["calls", "errors", "p50", "p95", "p99", "longest"].map(cell));
}

let looking = false;
let again = false;
let last = 0;
let timer = 0;

/** Looks at most every half second; who asks meanwhile is served by the next look. */
function look() {
  if (looking) { again = true; return; }
  clearTimeout(timer);
  timer = setTimeout(really, Math.max(0, last + EVERY - Date.now()));
}

async function really() {
  looking = true;
  again = false;
  try {
    const [{ instance, upstreams }, all, of] = await Promise.all([json("status"), json("tools"), json("tools?by=upstream")]);
    unlock();
    traces = instance.traces;
    put(at("about"), `${instance.version} · ${instance.configuration ?? "the built-in demo"} · process ${instance.pid}, since ${new Date(instance.started_ms).toLocaleString()}${instance.endpoint ? " · " + instance.endpoint : ""}`);
    seen = Date.now();
    showFleet(upstreams, new Map(of.map((it) => [it.upstream, it])));
    for (const it of cards.values()) it.heard = seen;
    tools(all);
  } catch (error) {
    lose(error);
  }
  looking = false;
  last = Date.now();
  clearTimeout(timer);
  if (isLocked) return;
  if (again) look(); else timer = setTimeout(really, CALM);
}

async function listen() {
  const own = ++listening;
  while (!isLocked && own === listening) {
    try {
      const response = await ask("events");
      if (isLocked) return;
      if (!response.ok) throw new Refused((await response.json()).error?.message);
      // It may be another process, which counts its events anew.
      const [{ instance }, past] = await Promise.all([json("status"), json("timeline")]);
      traces = instance.traces;
      timeline = new Map();
      at("events").replaceChildren();
      past.forEach((event) => remember(event) && note(event));
      showAgain();
      at("lost").hidden = true;
      link("live", "live");
      look();
      await read(response.body);
      lose();
    } catch (error) {
      lose(error);
    }
    await new Promise((wake) => setTimeout(wake, AGAIN));
  }
}

/** Takes events until there are no more. */
async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) take(block);
  }
}

function take(block) {
  const line = (name) => block.split("\n").find((it) => it.startsWith(name + ": "))?.slice(name.length + 2);
  const data = line("data");
  if (!data) return;
  if (line("event") === "missed") say(`${JSON.parse(data).count} events were missed`);
  else hear(JSON.parse(data));
  look();
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token").value = "";
  isLocked = false;
  listen();
  look();
});
at("dismiss").addEventListener("click", () => complain(null));
// Times go on, and nothing else; not where mcplex is gone, which would be made up.
setInterval(() => {
  if (at("link").classList.contains("live")) showAgain();
}, TICK);
look();
listen();
