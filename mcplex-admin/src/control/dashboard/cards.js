// The fleet: a card for each upstream, made once and changed in place, so that what has the focus or
// is under a finger stays what it is, however fast its upstream dies.

const LIVES = 8; // that are shown
const SLOW = 10000; // a start that takes longer is worth a look
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
      const before = lives.at(-1);
      const wait = before?.kind === "died" || before?.kind === "trip" ? event.at_ms - before.ended : 0;
      lives.push(life = { number: event.incarnation, begun: event.at_ms, kind: "starting", wait });
    }
    if (event.kind === "died") Object.assign(life, { kind: "died", ended: event.at_ms, what: event.what });
    else if (event.health === "tripped" && life.kind === "died") life.kind = "trip";
    else if (event.health === "ready" && !life.ended) Object.assign(life, { kind: "up", ready: life.ready ?? event.at_ms });
    else if ((event.health === "stopped" || event.health === "idle") && !life.ended) Object.assign(life, { kind: "stopped", ended: event.at_ms });
  }
  return lives;
}

const LIFE_WORDS = { up: "up", starting: "starting", died: "died", trip: "tripped", stopped: "stopped" };

function showLives(list, events, at) {
  const shown = livesOf(events).slice(-LIVES);
  while (list.childElementCount > shown.length) list.lastElementChild.remove();
  shown.forEach((life, index) => {
    const item = list.children[index] ?? list.appendChild(make("li", {}, make("span", { class: "wait" }), make("span", { class: "life" })));
    const lasted = long((life.ended ?? at) - life.begun);
    const [wait, word] = item.children;
    // How long it was left alone before: the backoff, or the cool-down of its breaker.
    put(wait, index && life.wait > 0 ? `wait ${long(life.wait)} ` : "");
    item.className = life.kind;
    item.title = `began ${moment(life.begun)}${life.ended ? `, ended ${moment(life.ended)}` : ""}${life.what ? ": " + life.what : ""}`;
    put(word, `${life.number} ${LIFE_WORDS[life.kind]} ${life.ended ? "after " : ""}${lasted}`);
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
    button.addEventListener("click", () => confirmed(cards.get(key), button) && act(name, button));
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
  const head = make("h3", { textContent: key, tabIndex: -1 });
  const it = {
    element, verbs, upstream,
    head,
    heard: Date.now(), // when it was so
    isTripped: upstream.health === "tripped", // as far as was said aloud
    health: make("span", { class: "badge" }),
    since: make("p", { class: "since dim" }),
    reason: make("p", { class: "reason" }),
    lives: make("ol", { class: "lives" }),
    life: fact("life"), place: fact("process"), tools: fact("tools"), deaths: fact("deaths"), calls: fact("calls"), p95: fact("p95"),
  };
  it.lives.setAttribute("aria-label", `lives of ${key}, newest last`);
  element.append(make("div", { class: "top" }, head, it.health), it.since, facts, it.reason, it.lives, actions);
  element.dataset.upstream = key;
  element.id = "upstream-" + key;
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

/** Since when it is as it is, what comes next, and when its trouble began if that was before. */
function sinceWhen(upstream, health, age) {
  if (health === "disabled") return "by the configuration";
  const parts = [];
  const ago = (ms) => long(now() - ms);
  if (upstream.since_ms) parts.push(health === "ready" ? `up ${long((upstream.uptime_ms ?? 0) + age)}, since ${time(upstream.since_ms)}` : `since ${time(upstream.since_ms)}, ${ago(upstream.since_ms)} ago`);
  if (upstream.retry_after_ms != null) parts.push(`next try in ${long(upstream.retry_after_ms - age)}`);
  const trouble = upstream.trouble_since_ms;
  if (trouble != null && trouble + 1000 <= upstream.since_ms) parts.push(`trouble began ${time(trouble)}, ${ago(trouble)} ago`);
  return parts.join("; ");
}

/** Shows an upstream as it is; `age` is how long ago it was so, `figures` what was called there. */
function showCard(it, age = 0, figures = undefined) {
  const { upstream, element, verbs } = it;
  const health = upstream.is_enabled ? upstream.health : "disabled";
  element.className = "card " + health;
  it.health.className = "badge " + health;
  put(it.health, health);
  put(it.life.value, String(upstream.incarnation));
  put(it.since, sinceWhen(upstream, health, age));
  it.since.title = upstream.since_ms ? moment(upstream.since_ms) : "";
  put(it.tools.value, String(upstream.tools));
  put(it.place.name, upstream.url ? "address" : "process");
  put(it.place.value, upstream.url ?? (upstream.pid ? String(upstream.pid) : "–"));
  put(it.deaths.name, `deaths in ${long(upstream.window_ms)}`);
  put(it.deaths.value, upstream.deaths ? `${upstream.deaths}, ${upstream.max_deaths} borne` : "0");
  if (figures !== undefined) {
    put(it.calls.value, figures ? `${figures.calls}${upstream.in_flight ? ` + ${upstream.in_flight} now` : ""}` : String(upstream.in_flight ? `${upstream.in_flight} now` : 0));
    put(it.p95.value, figures ? short(figures.p95_us) : "–");
  }
  const reason = upstream.reason ?? (upstream.last_error ? "last death: " + upstream.last_error : "");
  put(it.reason, reason);
  it.reason.hidden = !reason;
  showLives(it.lives, (timeline.get(label(upstream)) ?? []), now());
  // Of one that is disabled none makes sense.
  for (const button of Object.values(verbs)) button.hidden = health === "disabled";
  if (verbs.reset) {
    const isDown = health === "tripped" || (health === "recovering" && upstream.deaths > 0);
    setVerb(verbs.reset, "reset", upstream.name, isDown);
    setVerb(verbs.restart, "restart", upstream.name, false);
    const isOff = health === "stopped" || health === "idle" || health === "disabled";
    setVerb(verbs.stop, isOff ? "start" : "stop", upstream.name, health === "stopped");
  }
}

/** Shows how long things last, and what else is known already. */
function showAgain() {
  for (const it of cards.values()) showCard(it, Date.now() - it.heard);
  showTrouble();
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
  at("no-upstreams").hidden = upstreams.length > 0;
  showSum();
}

function showSum() {
  const upstreams = [...cards.values()].map((it) => it.upstream);
  const healths = upstreams.map((it) => it.is_enabled ? it.health : "disabled");
  // The worst first.
  const counts = ["tripped", "recovering", "degraded", "stopped", "idle", "ready", "disabled"].map((health) => [health, healths.filter((it) => it === health).length]).filter(([, count]) => count);
  const list = at("sum");
  const text = counts.map(([health, count]) => `${count} ${health}`);
  if ([...list.children].map((it) => it.textContent).join() !== text.join()) {
    list.replaceChildren(...counts.map(([health], index) => make("li", { class: "badge " + health, textContent: text[index] })));
  }
  const ill = upstreams.filter((it) => it.health === "tripped" || it.health === "recovering").length;
  document.title = ill ? `(${ill}) mcplex` : "mcplex";
  showTrouble();
}

/** Whether somebody should look at it: it is down or was a moment ago, and not just being started. */
const hasTrouble = ({ health, since_ms, trouble_since_ms, deaths }) =>
  trouble_since_ms != null && (deaths > 0 || health === "tripped" || health === "degraded" || now() - since_ms > SLOW);

/** One line for each upstream that has trouble, above all of them: of fifty the one that broke is seldom the first. */
function showTrouble() {
  const ill = [...cards.values()].filter((it) => hasTrouble(it.upstream));
  at("trouble-now").hidden = !ill.length;
  const list = at("ill");
  while (list.childElementCount > ill.length) list.lastElementChild.remove();
  ill.forEach((it, index) => {
    const { upstream } = it;
    const item = list.children[index] ?? list.appendChild(newIll());
    const [link, badge, since, why] = item.children;
    put(link, label(upstream));
    link.href = "#" + it.element.id;
    badge.className = "badge " + upstream.health;
    put(badge, upstream.health);
    put(since, `since ${time(upstream.trouble_since_ms)}, ${long(now() - upstream.trouble_since_ms)} ago`);
    since.title = moment(upstream.trouble_since_ms);
    put(why, upstream.reason ?? upstream.last_error ?? "");
  });
}

/** A line for one that has trouble; its link leads to the card. */
function newIll() {
  const link = make("a");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const { element, head } = cards.get(link.textContent) ?? {};
    element?.scrollIntoView({ block: "start" });
    head?.focus({ preventScroll: true });
  });
  return make("li", {}, link, make("span", { class: "badge" }), make("span", { class: "dim" }), make("span", { class: "what" }));
}

/** Asks before what ends calls; what a button says is then the answer. */
function confirmed(it, button) {
  const { verb } = button.dataset;
  const isUp = it.upstream.health === "ready" || it.upstream.health === "degraded";
  if (button.getAttribute("aria-disabled") || !isUp || (verb !== "stop" && verb !== "restart")) return true;
  const { name, in_flight: calls } = it.upstream;
  put(at("sure-what"), `${VERBS[verb]} ${name}?`);
  put(at("sure-why"), calls ? `${calls === 1 ? "One call is" : calls + " calls are"} under way there, and ${calls === 1 ? "fails" : "fail"} at once.` : "Calls under way there fail at once.");
  put(at("sure-yes"), `${VERBS[verb]} ${name}`);
  at("sure-yes").onclick = () => act(name, button);
  at("sure").showModal();
  return false;
}

/** Tells an upstream to do what a button says. The button keeps the focus meanwhile. */
async function act(name, button) {
  if (button.getAttribute("aria-disabled")) return;
  const { verb } = button.dataset;
  button.setAttribute("aria-disabled", "true");
  try {
    const { patience_ms = 0 } = [...cards.values()].find((it) => it.upstream.name === name)?.upstream ?? {};
    const done = await json(`upstreams/${part(name)}/${verb}`, { method: "POST", within: patience_ms + PATIENCE });
    say(`${name}: ${done.what}`);
    complain(null);
  } catch (error) {
    complain(error);
  } finally {
    button.removeAttribute("aria-disabled");
    look();
  }
}
