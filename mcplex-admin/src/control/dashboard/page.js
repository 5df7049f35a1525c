// Looks and listens, and shows what it sees. Made of questions to the API that anybody may ask.

const PAST = 100; // events that are kept of each upstream, as the API does
const TOOLS = 200; // rows that are shown
const FAILED = 20; // calls that are shown
const EVERY = 500; // at most two looks per second, however fast an upstream dies
const CALM = 5000; // a look without an event, for tools
const TICK = 1000; // times go on without a look
const AGAIN = 2000; // how long to wait for a server that has gone

/** What happened to each upstream, by its label, oldest first. */
let timeline = new Map();
let isLocked = false;
let streaming = new AbortController(); // ends the stream that is listened to
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

/** What an event says of its upstream is shown at once; the rest comes with the next look. */
function hear(event) {
  if (!remember(event)) return;
  note(event);
  const it = cards.get(label(event));
  if (!it) return;
  if (event.kind === "changed") {
    const { health, incarnation, pid, deaths, what, retry_after_ms } = event;
    const before = it.upstream;
    const isOther = before.health !== health || before.incarnation !== incarnation;
    it.upstream = { ...before, health, incarnation, pid, deaths, reason: what, retry_after_ms };
    if (isOther) Object.assign(it.upstream, { since_ms: before.health === health ? before.since_ms : event.at_ms, uptime_ms: health === "ready" ? 0 : null });
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
  at("more-tools").hidden = all.length <= TOOLS;
  put(at("more-tools"), `And ${all.length - TOOLS} more that were called less often; GET /api/v1/tools has all.`);
  while (body.childElementCount > shown.length) body.lastElementChild.remove();
  shown.forEach((it, index) => {
    const row = body.children[index] ?? body.appendChild(newRow());
    const texts = [it.tool, it.upstream ?? "", it.calls, it.errors, short(it.p50_us), short(it.p95_us), short(it.p99_us), short(it.max_us)];
    texts.forEach((text, column) => put(row.children[column], String(text)));
    row.children[3].classList.toggle("some", it.errors > 0);
  });
}

let errors = -1; // of all tools, as they were when the calls were asked for
let asked = 0; // when that was

/** The last calls that failed, each with the way to its trace; asked for only when there is another one. */
async function failures(all) {
  const count = all.reduce((sum, it) => sum + it.errors, 0);
  // All that are kept come at once, so a flood of failures is not looked at with each look.
  if (count === errors || Date.now() - asked < AGAIN) return;
  asked = Date.now();
  const calls = (await json("calls")).filter((it) => it.outcome === "error" || it.outcome === "rejected");
  errors = count;
  at("failures").hidden = !calls.length;
  at("failed").replaceChildren(...calls.slice(0, FAILED).map((it) => make("li", {}, when(it.at_ms, time(it.at_ms), "dim"), " ", make("strong", { class: "what", textContent: it.tool }), " ", make("span", { class: "word died", textContent: it.outcome === "rejected" ? "not sent" : "failed" }), ` after ${short(it.duration_us)}${it.error_type ? ": " + it.error_type : ""} `, ...trace(it.trace_id))));
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

/** What is not as it should be with mcplex itself, as `mcplex status` says it. */
function notices(instance) {
  const disk = "the disk is too slow or full";
  const all = [];
  if (instance.lost_lines + instance.lost_reports) all.push(`Not kept: ${instance.lost_lines} lines of logs, ${instance.lost_reports} crash reports; ${disk}.`);
  if (instance.lost_spans + instance.lost_records) all.push(`Not exported: ${instance.lost_spans} spans, ${instance.lost_records} log records; mcplex doctor looks at the collector.`);
  if (instance.lost_audit + instance.lost_log) all.push(`Not kept: ${instance.lost_audit} lines of the audit log, ${instance.lost_log} lines of the log file; ${disk}.`);
  if (instance.needs_restart.length) all.push(`Changed in the file, and only the next start of mcplex applies it: ${instance.needs_restart.join(", ")}.`);
  at("notices").hidden = !all.length;
  put(at("notices"), all.join(" "));
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
    put(at("about"), `${instance.version} · ${instance.configuration ?? "the built-in demo"} · process ${instance.pid}, since ${moment(instance.started_ms)}${instance.endpoint ? " · " + instance.endpoint : ""}`);
    notices(instance);
    seen = Date.now();
    showFleet(upstreams, new Map(of.map((it) => [it.upstream, it])));
    for (const it of cards.values()) it.heard = seen;
    tools(all);
    await failures(all);
  } catch (error) {
    lose(error);
    // Who does not answer says nothing either: it is listened to anew, once it is there.
    streaming.abort();
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
      streaming = new AbortController();
      const { signal } = streaming;
      const late = setTimeout(() => streaming.abort(), PATIENCE);
      const response = await ask("events", { signal }).finally(() => clearTimeout(late));
      if (isLocked) return;
      if (!response.ok) throw new Refused((await response.json()).error?.message);
      // It may be another process, which counts its events anew.
      const [{ instance }, past] = await Promise.all([json("status"), json("timeline")]);
      traces = instance.traces;
      timeline = new Map();
      errors = -1;
      asked = 0;
      forgetEvents();
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
