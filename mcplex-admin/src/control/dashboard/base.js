"use strict";
// What all parts of the page use: elements, questions to the API, and words.

// The token comes in the fragment, which no server sees, and stays in this tab.
const FRAGMENT = "#token=";
if (location.hash.startsWith(FRAGMENT)) {
  sessionStorage.setItem("token", decodeURIComponent(location.hash.slice(FRAGMENT.length)));
  history.replaceState(null, "", location.pathname);
}

const at = (id) => document.getElementById(id);
const part = encodeURIComponent;
const label = (it) => it.member ?? it.upstream ?? it.name;

/** Where traces can be looked at, if anywhere. */
let traces = null;

/** An element; what upstreams say only ever becomes text. */
function make(tag, properties = {}, ...children) {
  const { class: kind, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

/** Changes a text only where it is another one: an unchanged one is neither read out nor drawn. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const PATIENCE = 6000; // for an answer; mcplex says all it knows from memory

/** How far the clock of mcplex is ahead of the one here, where that can be seen. */
let skew = 0;
const now = () => Date.now() + skew;

/** Asks mcplex. One that is halted, or behind a tunnel that hangs, never answers, and is as good as gone. */
async function ask(path, { method = "GET", within = PATIENCE, signal } = {}) {
  const headers = { Authorization: "Bearer " + (sessionStorage.getItem("token") ?? "") };
  signal ??= AbortSignal.timeout(within);
  const response = await fetch("/api/v1/" + path, { method, headers, cache: "no-store", signal });
  // It is told in whole seconds.
  const ahead = Date.parse(response.headers.get("date")) - Date.now();
  skew = Math.abs(ahead) > 2000 ? ahead : 0;
  if (response.status === 401) lock();
  return response;
}

async function json(path, options) {
  const response = await ask(path, options);
  const body = await response.json();
  if (!response.ok) {
    const { message = response.statusText, hint } = body.error ?? {};
    throw new Refused(hint ? `${message}; ${hint}` : message);
  }
  return body;
}

/** mcplex has understood, and said no; anything else means that it is not there. */
class Refused extends Error {}

/** Says what went wrong with something that a person has asked for. */
function complain(error) {
  at("trouble").hidden = !error;
  put(at("problem"), error instanceof Refused ? error.message : error ? "mcplex does not answer" : "");
}

/** A word for those who listen; only what somebody has to know. */
function say(text) {
  put(at("said"), text);
}

function long(ms) {
  const s = Math.floor(Math.max(0, ms) / 1000);
  if (s < 1) return Math.max(0, Math.round(ms)) + " ms";
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + (Math.floor(s / 60) % 60) + " min";
  return Math.floor(s / 86400) + " d " + (Math.floor(s / 3600) % 24) + " h";
}

const short = (us) => us < 1000 ? us + " µs" : us < 1e6 ? (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms" : (us / 1e6).toFixed(1) + " s";

/** A moment in as few words as tell it; of another day with its date. */
function time(ms) {
  const at = new Date(ms);
  const hour = at.toLocaleTimeString();
  return at.toDateString() === new Date(now()).toDateString() ? hour : at.toLocaleDateString(undefined, { month: "short", day: "numeric" }) + ", " + hour;
}

/** A moment with its date and its zone. */
const moment = (ms) => new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });

/** The same as an element, which also has it in UTC, as the logs do. */
function when(ms, text = time(ms), kind = "") {
  const utc = new Date(ms).toISOString();
  return make("time", { class: kind, dateTime: utc, title: utc, textContent: text });
}

/** A link to a trace, where there is one and somewhere to look at it. */
function trace(id, text = "trace") {
  if (!traces || !/^[0-9a-f]{32}$/.test(id ?? "")) return [];
  const href = `${traces.replace(/\/$/, "")}/trace/${id}`;
  return [make("a", { href, target: "_blank", rel: "noreferrer", textContent: text })];
}
