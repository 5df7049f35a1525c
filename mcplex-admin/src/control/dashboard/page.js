"use strict";
// The token comes in the fragment, which no server sees, and stays in this tab.
const FRAGMENT = "#token=";
if (location.hash.startsWith(FRAGMENT)) {
  sessionStorage.setItem("token", decodeURIComponent(location.hash.slice(FRAGMENT.length)));
  history.replaceState(null, "", location.pathname);
}
const at = (id) => document.getElementById(id);
const EVENTS = 200; // lines that are shown
const EVERY = 500; // at most two looks per second, however fast an upstream dies
const CALM = 5000; // a look without an event, for uptimes and tools
const AGAIN = 2000; // how long to wait for a server that has gone
let timeline = new Map();
let traces = null;

function make(tag, properties = {}, ...children) {
  const { class: kind, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

async function ask(path, method = "GET", signal) {
  const headers = { Authorization: "Bearer " + (sessionStorage.getItem("token") ?? "") };
  const response = await fetch("/api/v1/" + path, { method, headers, signal, cache: "no-store" });
  if (response.status === 401) at("door").hidden = false;
  return response;
}

async function json(path, method) {
  const response = await ask(path, method);
  const body = await response.json();
  if (!response.ok) {
    const { message = response.statusText, hint } = body.error ?? {};
    throw new Error(hint ? `${message}; ${hint}` : message);
  }
  return body;
}

function complain(error) {
  at("problem").hidden = !error;
  at("problem").textContent = error ? String(error.message ?? error) : "";
}

function long(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + (Math.floor(s / 60) % 60) + " min";
  return Math.floor(s / 86400) + " d " + (Math.floor(s / 3600) % 24) + " h";
}

const short = (us) => us < 1000 ? us + " µs" : us < 1e6 ? (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms" : (us / 1e6).toFixed(1) + " s";
const time = (ms) => new Date(ms).toLocaleTimeString();
const part = encodeURIComponent;
const label = (it) => it.member ?? it.upstream ?? it.name;

function said(event) {
  if (event.kind === "died") return `life ${event.incarnation} died: ${event.what ?? ""}`;
  const wait = event.retry_after_ms ? `, again in ${long(event.retry_after_ms)}` : "";
  return `${event.health}, life ${event.incarnation}${event.what ? ": " + event.what : ""}${wait}`;
}

function trace(id) {
  if (!traces || !/^[0-9a-f]{32}$/.test(id ?? "")) return [];
  const href = `${traces.replace(/\/$/, "")}/trace/${id}`;
  return [make("a", { href, target: "_blank", rel: "noreferrer", textContent: "trace" })];
}

function remember(event) {
  const of = timeline.get(event.upstream) ?? [];
  if (of.some((it) => it.number === event.number)) return false;
  of.push(event);
  timeline.set(event.upstream, of.slice(-60));
  return true;
}

function note(event, aloud) {
  const list = at("events");
  const line = make("li", {}, make("time", { class: "dim", textContent: time(event.at_ms) }), ` ${label(event)}: ${said(event)} `, ...trace(event.trace_id));
  list.prepend(line);
  while (list.childElementCount > EVENTS) list.lastElementChild.remove();
  // Only what somebody has to know is read aloud; a loop would never let it end.
  if (aloud && (event.health === "tripped" || event.health === "ready")) at("said").textContent = `${label(event)}: ${event.health}`;
}

async function act(name, verb, button) {
  button.disabled = true;
  try {
    const done = await json(`upstreams/${part(name)}/${verb}`, "POST");
    at("said").textContent = `${name}: ${done.what}`;
    complain(null);
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
    look();
  }
}

function show(title, ...children) {
  at("sheet-title").textContent = title;
  at("sheet-body").replaceChildren(...children);
  if (!at("sheet").open) at("sheet").showModal();
}

async function why(name) {
  try {
    const text = (await json(`upstreams/${part(name)}/why`)).text;
    const log = await (await ask(`upstreams/${part(name.split("/")[0])}/logs?lines=100`)).text();
    show(name, make("p", { textContent: text }), make("h3", { textContent: "Its log" }), make("pre", { tabIndex: 0, textContent: log || "(empty)" }));
  } catch (error) {
    complain(error);
  }
}

async function crashes(name, number = 1) {
  try {
    const all = await json(`crashes?upstream=${part(name)}`);
    if (!all.length) return show(name, make("p", { textContent: "There is no crash report." }));
    const it = await json(`crashes/${part(name)}/${number}`);
    const facts = make("dl");
    const fact = (term, value) => value != null && value !== "" && facts.append(make("dt", { textContent: term }), make("dd", { textContent: String(value) }));
    fact("when", new Date(it.at_ms).toLocaleString());
    fact("what", it.what);
    fact("probable cause", it.probable_cause);
    fact("advice", it.advice);
    fact("life", it.incarnation);
    fact("lived", long(it.uptime_ms));
    fact("deaths", it.is_counted ? `${it.deaths} within ${long(it.window_ms)}, ${it.max_deaths} are borne` : "not counted");
    fact("trip", it.trip);
    fact("calls in flight", it.in_flight.map((call) => `${call.method} ${call.name ?? ""}`).join(", "));
    const lines = it.stderr.map((line) => line.text).join("\n");
    const words = it.messages.map((m) => `${m.is_from_upstream ? "<-" : "->"} ${m.text}`).join("\n");
    const choice = make("div", { class: "actions" });
    all.slice(0, 20).forEach((one) => choice.append(make("button", { type: "button", disabled: one.number === number, textContent: `life ${one.incarnation}, ${time(one.at_ms)}`, onclick: () => crashes(name, one.number) })));
    show(`Crash report of ${name}`, choice, facts, ...trace(it.trace_id), make("h3", { textContent: "Last words" }), make("pre", { tabIndex: 0, textContent: lines || "(none)" }), make("h3", { textContent: "Last messages" }), make("pre", { tabIndex: 0, textContent: words || "(none)" }));
  } catch (error) {
    complain(error);
  }
}

function strip(name) {
  const line = make("ol", { class: "line" });
  line.setAttribute("aria-label", "what happened last, newest at the right");
  for (const event of timeline.get(name) ?? []) {
    const text = `${time(event.at_ms)} ${said(event)}`;
    const mark = make("li", { class: event.kind === "died" ? "died" : event.health, title: text });
    mark.append(make("span", { class: "unseen", textContent: text }));
    line.append(mark);
  }
  return line;
}

/// A card is made once and changed in place, so that a button under a finger stays what it is.
function card(upstream) {
  const key = label(upstream);
  let card = [...at("fleet").children].find((it) => it.dataset.key === key);
  if (!card) {
    const name = upstream.name;
    const actions = make("div", { class: "actions" });
    for (const verb of upstream.member ? [] : ["reset", "restart", "start", "stop"]) {
      const button = make("button", { type: "button", textContent: verb, onclick: () => act(name, verb, button) });
      button.dataset.verb = verb;
      button.setAttribute("aria-label", `${verb} ${name}`);
      actions.append(button);
    }
    for (const [word, open] of [["why", () => why(key)], ["crashes", () => crashes(name)]]) {
      const button = make("button", { type: "button", textContent: word, onclick: open });
      button.setAttribute("aria-label", `${word} of ${key}`);
      actions.append(button);
    }
    card = make("li", { class: "card" }, make("div", { class: "top" }, make("h3", { textContent: key }), make("span", { class: "health" })), make("p", { class: "dim facts" }), make("p", { class: "words" }), make("div", { class: "strip" }), actions);
    card.dataset.key = key;
  }
  card.className = "card " + upstream.health;
  const put = (kind, text) => { const it = card.querySelector(kind); if (it.textContent !== text) it.textContent = text; };
  put(".health", upstream.is_enabled ? upstream.health : "disabled");
  const facts = [`life ${upstream.incarnation}`, upstream.pid ? `process ${upstream.pid}` : upstream.url, upstream.uptime_ms != null && `up ${long(upstream.uptime_ms)}`, `${upstream.tools} tools`, upstream.in_flight && `${upstream.in_flight} in flight`, `${upstream.deaths} deaths in the window, ${upstream.max_deaths} borne`, upstream.breaker !== "closed" && `breaker ${upstream.breaker}`, upstream.retry_after_ms != null && `again in ${long(upstream.retry_after_ms)}`];
  put(".facts", facts.filter(Boolean).join(" · "));
  put(".words", upstream.reason ?? (upstream.last_error ? "last: " + upstream.last_error : ""));
  card.querySelector(".strip").replaceChildren(strip(upstream.name));
  return card;
}

function tools(all) {
  all.sort((one, other) => other.calls - one.calls);
  at("tools").replaceChildren(...all.slice(0, 200).map((it) => {
    const cell = (text, kind = "") => make("td", { class: kind, textContent: text });
    return make("tr", {}, make("th", { scope: "row", textContent: it.tool }), cell(it.upstream ?? ""), cell(it.calls, "n"), cell(it.errors, "n"), cell(short(it.p50_us), "n"), cell(short(it.p95_us), "n"), cell(short(it.p99_us), "n"), cell(short(it.max_us), "n"));
  }));
}

let looking = false;
let again = false;
let last = 0;
let timer = 0;

/// Looks at most every half second; who asks meanwhile is served by the next look.
function look() {
  if (looking) { again = true; return; }
  clearTimeout(timer);
  timer = setTimeout(really, Math.max(0, last + EVERY - Date.now()));
}

async function really() {
  looking = true;
  again = false;
  try {
    const { instance, upstreams } = await json("status");
    traces = instance.traces;
    at("about").textContent = `${instance.version} · ${instance.configuration ?? "the built-in demo"} · since ${new Date(instance.started_ms).toLocaleString()}`;
    const cards = upstreams.map(card);
    const list = at("fleet");
    const isSame = cards.length === list.childElementCount && cards.every((it, index) => it === list.children[index]);
    if (!isSame) list.replaceChildren(...cards);
    const ill = upstreams.filter((it) => it.health === "tripped" || it.health === "recovering").length;
    document.title = ill ? `(${ill}) mcplex` : "mcplex";
    tools(await json("tools"));
    at("door").hidden = true;
    complain(null);
  } catch (error) {
    complain(error);
  }
  looking = false;
  last = Date.now();
  clearTimeout(timer);
  if (again) look(); else timer = setTimeout(really, CALM);
}

async function listen() {
  for (;;) {
    try {
      const response = await ask("events");
      if (response.status === 401) { at("link").textContent = "no token"; return; }
      if (!response.ok) throw new Error("events are not to be had");
      at("link").textContent = "live";
      // It may be another process, which counts its events anew.
      timeline = new Map();
      at("events").replaceChildren();
      (await json("timeline")).forEach((event) => remember(event) && note(event, false));
      look();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) take(block);
      }
    } catch (error) {
      complain(error);
    }
    at("link").textContent = "not connected";
    await new Promise((wake) => setTimeout(wake, AGAIN));
  }
}

function take(block) {
  const line = (name) => block.split("\n").find((it) => it.startsWith(name + ": "))?.slice(name.length + 2);
  const data = line("data");
  if (!data) return;
  if (line("event") === "missed") at("said").textContent = `${JSON.parse(data).count} events were missed`;
  else {
    const event = JSON.parse(data);
    if (remember(event)) note(event, true);
  }
  look();
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token").value = "";
  at("door").hidden = true;
  listen();
  look();
});
look();
listen();
