// The fleet: a card for each upstream, made once and changed in place, so that what has the focus or
// is under a finger stays what it is, however fast its upstream dies.

const LIVES = 8; // that are shown
const VERBS = { reset: "Reset", restart: "Restart", start: "Start", stop: "Stop" };
const cards = new Map();

/** The lives of an upstream that its events tell of, oldest first. */
function livesOf(events) {
  const lives = [];
  for (const event of events) {
    if (!event.incarnation) continue;
    let life = lives.at(-1);
    if (life?.number !== event.incarnation) {
      // One that was restarted neither dies nor stops, as far as events tell.
      if (life && !life.ended) Object.assign(life, { kind: "stopped", ended: event.at_ms });
      lives.push(life = { number: event.incarnation, begun: event.at_ms, kind: "starting" });
    }
    if (event.kind === "died") Object.assign(life, { kind: "died", ended: event.at_ms, what: event.what });
    else if (event.health === "tripped" && life.kind === "died") life.kind = "trip";
    else if (event.health === "ready" && !life.ended) life.kind = "up";
    else if ((event.health === "stopped" || event.health === "idle") && !life.ended) Object.assign(life, { kind: "stopped", ended: event.at_ms });
  }
  return lives;
}

function showLives(list, events, now) {
  const shown = livesOf(events).slice(-LIVES);
  while (list.childElementCount > shown.length) list.lastElementChild.remove();
  shown.forEach((life, index) => {
    const item = list.children[index] ?? list.appendChild(make("li", {}, make("span"), make("span", { class: "unseen" })));
    const lasted = long((life.ended ?? now) - life.begun);
    const words = { up: `${life.number} up`, starting: `${life.number} starting`, died: `${life.number} died`, trip: `${life.number} tripped`, stopped: `${life.number} stopped` };
    item.className = life.kind;
    item.title = life.ended ? `after ${lasted}${life.what ? ": " + life.what : ""}` : `for ${lasted}`;
    put(item.firstElementChild, words[life.kind]);
    put(item.lastElementChild, life.ended ? ` after ${lasted}` : "");
  });
}

function newCard(upstream) {
  const key = label(upstream);
  const { name } = upstream;
  const actions = make("div", { class: "actions", role: "group" });
  actions.setAttribute("aria-label", `actions on ${key}`);
  const verbs = {};
  for (const verb of upstream.member ? [] : ["reset", "restart", "stop"]) {
    const button = make("button", { type: "button" });
    button.addEventListener("click", () => act(name, button));
    verbs[verb] = button;
    actions.append(button);
  }
  for (const [word, open] of [["Why", () => why(key, name)], ["Crashes", () => crashes(key, name)]]) {
    const button = make("button", { type: "button", textContent: word, onclick: open });
    button.setAttribute("aria-label", `${word} of ${key}`);
    button.setAttribute("aria-haspopup", "dialog");
    actions.append(button);
  }
  const facts = make("dl", { class: "facts" });
  const fact = (term) => {
    const value = make("dd");
    const name = make("dt", { textContent: term });
    facts.append(make("div", {}, name, value));
    return { name, value };
  };
  const element = make("li", { class: "card" });
  const it = {
    element, verbs, upstream,
    heard: Date.now(), // when it was so
    isTripped: upstream.health === "tripped", // as far as was said aloud
    health: make("span", { class: "badge" }),
    reason: make("p", { class: "reason" }),
    lives: make("ol", { class: "lives" }),
    life: fact("life"), up: fact("up"), place: fact("process"), deaths: fact("deaths"), calls: fact("calls"), p95: fact("p95"),
  };
  it.lives.setAttribute("aria-label", `lives of ${key}, newest last`);
  element.append(make("div", { class: "top" }, make("h3", { textContent: key }), it.health), facts, it.reason, it.lives, actions);
  element.dataset.upstream = key;
  return it;
}

function setVerb(button, verb, name, isMain) {
  if (button.dataset.verb !== verb) {
    button.dataset.verb = verb;
    button.textContent = VERBS[verb];
    button.setAttribute("aria-label", `${VERBS[verb]} ${name}`);
  }
  button.classList.toggle("main", isMain);
}

/** Shows an upstream as it is; `age` is how long ago it was so, `figures` what was called there. */
function showCard(it, age = 0, figures = undefined) {
  const { upstream, element, verbs } = it;
  const health = upstream.is_enabled ? upstream.health : "disabled";
  element.className = "card " + health;
  it.health.className = "badge " + health;
  put(it.health, health);
  put(it.life.value, String(upstream.incarnation));
  const isWaiting = upstream.retry_after_ms != null;
  put(it.up.name, isWaiting ? "next try in" : "up");
  put(it.up.value, isWaiting ? long(Math.max(0, upstream.retry_after_ms - age)) : upstream.uptime_ms != null ? long(upstream.uptime_ms + age) : "–");
  put(it.place.name, upstream.url ? "address" : "process");
  put(it.place.value, upstream.url ?? (upstream.pid ? String(upstream.pid) : "–"));
  put(it.deaths.name, upstream.deaths ? `deaths (${upstream.max_deaths} borne)` : "deaths");
  put(it.deaths.value, String(upstream.deaths));
  if (figures !== undefined) {
    put(it.calls.value, figures ? `${figures.calls}${upstream.in_flight ? ` + ${upstream.in_flight} now` : ""}` : String(upstream.in_flight ? `${upstream.in_flight} now` : 0));
    put(it.p95.value, figures ? short(figures.p95_us) : "–");
  }
  const reason = upstream.reason ?? (upstream.last_error ? "last death: " + upstream.last_error : "");
  put(it.reason, reason);
  it.reason.hidden = !reason;
  showLives(it.lives, (timeline.get(label(upstream)) ?? []), Date.now());
  // Of one that is disabled none makes sense.
  for (const button of Object.values(verbs)) button.hidden = health === "disabled";
  if (verbs.reset) {
    const isDown = health === "tripped" || health === "recovering";
    setVerb(verbs.reset, "reset", upstream.name, isDown);
    setVerb(verbs.restart, "restart", upstream.name, false);
    const isOff = health === "stopped" || health === "idle" || health === "disabled";
    setVerb(verbs.stop, isOff ? "start" : "stop", upstream.name, health === "stopped");
  }
}

/** Shows how long things last, and what else is known already. */
function showAgain() {
  for (const it of cards.values()) showCard(it, Date.now() - it.heard);
}

/** A card for each upstream, in the order of the configuration. */
function showFleet(upstreams, figures) {
  const list = at("fleet");
  const keys = upstreams.map(label);
  for (const [key, it] of cards) if (!keys.includes(key)) { it.element.remove(); cards.delete(key); }
  upstreams.forEach((upstream, index) => {
    const key = label(upstream);
    if (!cards.has(key)) cards.set(key, newCard(upstream));
    const it = cards.get(key);
    it.upstream = upstream;
    // Moved only if it has to be: what is moved loses the focus.
    if (list.children[index] !== it.element) list.insertBefore(it.element, list.children[index] ?? null);
    showCard(it, 0, upstream.member ? null : figures.get(upstream.name) ?? null);
  });
  showSum();
}

function showSum() {
  const upstreams = [...cards.values()].map((it) => it.upstream);
  const counts = ["ready", "degraded", "recovering", "tripped", "idle", "stopped"].map((health) => [health, upstreams.filter((it) => it.health === health).length]).filter(([, count]) => count);
  const list = at("sum");
  const text = counts.map(([health, count]) => `${count} ${health}`);
  if ([...list.children].map((it) => it.textContent).join() !== text.join()) {
    list.replaceChildren(...counts.map(([health], index) => make("li", { class: "badge " + health, textContent: text[index] })));
  }
  const ill = upstreams.filter((it) => it.health === "tripped" || it.health === "recovering").length;
  document.title = ill ? `(${ill}) mcplex` : "mcplex";
}

/** Tells an upstream to do what a button says. The button keeps the focus meanwhile. */
async function act(name, button) {
  if (button.getAttribute("aria-disabled")) return;
  const { verb } = button.dataset;
  button.setAttribute("aria-disabled", "true");
  try {
    const done = await json(`upstreams/${part(name)}/${verb}`, "POST");
    say(`${name}: ${done.what}`);
    complain(null);
  } catch (error) {
    complain(error);
  } finally {
    button.removeAttribute("aria-disabled");
    look();
  }
}
