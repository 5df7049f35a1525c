// What is opened over the page: why an upstream is as it is, and its crash reports.

const REPORTS = 20; // that can be chosen

function show(title, ...children) {
  put(at("sheet-title"), title);
  at("sheet-body").replaceChildren(...children);
  if (!at("sheet").open) at("sheet").showModal();
}

function block(title, text) {
  const words = make("pre", { tabIndex: 0, textContent: text || "(none)" });
  words.setAttribute("aria-label", title);
  words.setAttribute("role", "region");
  return [make("h3", { textContent: title }), words];
}

async function why(key, name) {
  try {
    const { text } = await json(`upstreams/${part(key)}/why`);
    const log = await (await ask(`upstreams/${part(name)}/logs?lines=100`)).text();
    show(key, make("p", { textContent: text }), ...pastLives(key), ...block("The end of its log, in UTC", log));
    // The newest is at its end.
    const words = at("sheet-body").querySelector("pre:last-child");
    words.scrollTop = words.scrollHeight;
    complain(null);
  } catch (error) {
    complain(error);
  }
}

const LIFE_COLUMNS = ["life", "began", "ready after", "lasted", "how", "waited before"];

/** The lives of an upstream as far as they are known, newest first. */
function pastLives(key) {
  const lives = livesOf(timeline.get(key) ?? []).reverse();
  if (!lives.length) return [];
  const table = make("table", { class: "panel history" });
  table.append(make("thead", {}, make("tr", {}, ...LIFE_COLUMNS.map((text) => make("th", { scope: "col", textContent: text })))));
  const body = make("tbody");
  for (const life of lives) {
    const how = LIFE_WORDS[life.kind] + (life.what ? ": " + life.what : "");
    const cells = [when(life.begun), life.ready ? long(life.ready - life.begun) : "–", life.ended ? long(life.ended - life.begun) : "–", how, life.wait > 0 ? long(life.wait) : "–"];
    body.append(make("tr", {}, make("th", { scope: "row", textContent: life.number }), ...cells.map((cell, index) => {
      const it = make("td", {}, cell);
      it.dataset.label = LIFE_COLUMNS[index + 1];
      return it;
    })));
  }
  table.append(body);
  const rows = make("div", { class: "wide", tabIndex: 0 }, table);
  rows.setAttribute("role", "region");
  rows.setAttribute("aria-label", "Lives, newest first");
  return [make("h3", { textContent: "Lives, newest first" }), rows];
}

async function crashes(key, name) {
  try {
    // Of one of several children only its own, where it is not the first, which stands for all.
    const all = (await json(`crashes?upstream=${part(name)}`)).filter((one) => label(one) === key || key === name);
    if (!all.length) return show(`Crash reports of ${key}`, make("p", { textContent: "It has not died, as far as is known." }));
    const report = make("div");
    const choice = make("select", { id: "which" });
    for (const one of all.slice(0, REPORTS)) {
      const text = `${label(one) === name ? "" : label(one) + ", "}life ${one.incarnation}, ${time(one.at_ms)}${one.tripped ? ", tripped" : ""}`;
      choice.append(make("option", { value: one.number, textContent: text }));
    }
    const look = () => crash(name, choice.value, report).catch(complain);
    choice.addEventListener("change", look);
    await look();
    show(`Crash reports of ${key}`, make("p", { class: "row" }, make("label", { htmlFor: "which", textContent: "Report of" }), choice, ...(all.length > REPORTS ? [` the newest ${REPORTS} of ${all.length}`] : [])), report);
    complain(null);
  } catch (error) {
    complain(error);
  }
}

/** Fills a place with one report. */
async function crash(name, number, place) {
  const it = await json(`crashes/${part(name)}/${number}`);
  const link = trace(it.trace_id, "Open its trace").map((link) => make("p", {}, link));
  const clock = (ms) => new Date(ms).toISOString().slice(11, 23);
  const words = it.stderr.map((line) => `${clock(line.at_ms)}  ${line.text}`).join("\n");
  const messages = it.messages.map((m) => `${clock(m.at_ms)} ${m.is_from_upstream ? "<-" : "->"} ${m.text}`).join("\n");
  place.replaceChildren(facts(it), ...link, ...block("Last words, in UTC", words), ...block("Last messages, in UTC", messages));
}

function facts(it) {
  const list = make("dl", { class: "report" });
  const fact = (term, value) => {
    if (value != null && value !== "") list.append(make("dt", { textContent: term }), make("dd", { textContent: String(value) }));
  };
  fact("what happened", it.what);
  fact("probable cause", it.probable_cause);
  fact("what to do", it.advice);
  fact("when", `${moment(it.at_ms)}, ${long(now() - it.at_ms)} ago`);
  fact("life", `${it.incarnation}, which lasted ${long(it.uptime_ms)}`);
  fact("deaths", it.is_counted ? `${it.deaths} within ${long(it.window_ms)}, ${it.max_deaths} are borne` : "this one does not count");
  fact("breaker", it.trip ? `tripped: ${it.trip}` : null);
  fact("next try", it.retry_after_ms != null ? `${long(it.retry_after_ms)} later` : null);
  fact("used", [it.peak_memory != null ? `${Math.round(it.peak_memory / 2 ** 20)} MiB at most` : "", it.cpu_ms != null ? `${long(it.cpu_ms)} of processor time` : ""].filter(Boolean).join(", "));
  fact("calls in flight", it.in_flight.map((call) => `${call.method} ${call.name ?? ""}, for ${long(call.age_ms)}${call.is_suspect ? ", as at an earlier death" : ""}`).join("; "));
  return list;
}
