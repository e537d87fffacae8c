// The page of `rustyray dashboard`. No library and no build step: what is here is what runs.
//
// One object, `sample`, holds what the node said last; everything on the page is drawn from it, once a second
// while the page is visible. Text from the node only ever becomes text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const TABS = [
  { id: "tasks", name: "Tasks" }, { id: "failed", name: "Failures" }, { id: "actors", name: "Actors" },
  { id: "objects", name: "Objects" }, { id: "workers", name: "Workers" }, { id: "timeline", name: "Timeline" },
  { id: "logs", name: "Logs" },
];
// `middle` is the time around which the timeline shows a part of the whole; without it that is the end.
const view = { tab: "tasks", selected: null, still: false, open: null, bar: null, zoom: 1, middle: null };
let sample = null, lines = [], shownRows = [];

// ---- building blocks -------------------------------------------------------------------------------------

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
// What is ready waits, if it is a task.
const chip = (state, row) => el("span", { class: `chip ${row.kind && state === "ready" ? "waiting" : state}` }, state);
const code = (text) => el("code", {}, text ?? "");
function named(path) {
  const name = String(path ?? ""), method = name.lastIndexOf("::");
  const type = method > 0 ? name.lastIndexOf("::", method - 1) : -1;
  // `crate::module::function` stands out by its last part, `crate::Type::method` by its last two.
  const cut = type > 0 && /^[A-Z]/.test(name.slice(type + 2)) ? type : method;
  if (cut < 0) return [name];
  return [el("span", { class: "path" }, name.slice(0, cut + 2)), name.slice(cut + 2)];
}
function bytes(amount) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (amount >= 1024 && at < units.length - 1) { amount /= 1024; at += 1; }
  return `${at === 0 ? amount : amount.toFixed(1)} ${units[at]}`;
}
function time(ns) {
  if (ns === null || ns === undefined) return "";
  if (ns < 1000) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(1)} ms`;
  if (ns < 60e9) return `${(ns / 1e9).toFixed(2)} s`;
  const seconds = Math.floor(ns / 1e9), minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
const count = (value, thing) => `${number(value)} ${thing}${value === 1 ? "" : "s"}`;
const number = (value) => Number(value).toLocaleString("en", { maximumFractionDigits: 1 });

// ---- at a glance -----------------------------------------------------------------------------------------

function line(values, top) {
  const most = Math.max(top ?? 0, ...values, 1e-9), last = Math.max(values.length - 1, 1);
  const points = values.map((value, at) => `${(at / last * 100).toFixed(2)},${(32 - value / most * 30).toFixed(2)}`);
  const drawing = svg("svg", { class: "line", viewBox: "0 0 100 34", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("line", { class: "base", x1: 0, y1: 33, x2: 100, y2: 33 }));
  if (values.length > 1) {
    drawing.append(svg("polygon", { class: "area", points: `0,33 ${points.join(" ")} 100,33` }),
      svg("polyline", { class: "stroke", points: points.join(" ") }));
  }
  return drawing;
}
function meter(share) {
  const width = Math.min(Math.max(share, 0), 1) * 100;
  return el("div", { class: "meter" }, svg("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 6 })));
}
function tile(title, value, unit, note, foot) {
  return el("div", { class: "tile" }, el("h2", {}, title),
    el("div", { class: "value" }, value, unit ? el("small", {}, ` ${unit}`) : null),
    el("div", { class: "note" }, note ?? ""), el("div", { class: "foot" }, foot ?? ""));
}
function rates() {
  const out = [];
  for (let at = 1; at < sample.history.length; at += 1) {
    const before = sample.history[at - 1], now = sample.history[at];
    const seconds = (now.at_ms - before.at_ms) / 1000;
    out.push(seconds > 0 ? Math.max(0, (now.finished - before.finished) / seconds) : 0);
  }
  return out;
}
function tiles() {
  const { node, history } = sample, { store, totals } = node;
  const cpu = node.resources.find((resource) => resource.name === "cpu") ?? { used: 0, total: 0 };
  const rate = rates(), now = rate.length ? rate[rate.length - 1] : 0;
  const others = node.resources.filter((r) => r.name !== "cpu" && r.name !== "memory")
    .map((r) => `${number(r.used)} of ${number(r.total)} ${r.name}`).join(" · ");
  const failed = totals.failed_tasks > 0 ? [el("b", {}, `${number(totals.failed_tasks)} failed`), ` · ${number(totals.retried_tasks)} run again`] : [`${number(totals.retried_tasks)} run again`];
  $("tiles").replaceChildren(
    tile("Cpus in use", number(cpu.used), `of ${number(cpu.total)}`, others || count(totals.workers, "worker"), meter(cpu.total ? cpu.used / cpu.total : 0)),
    tile("Object store", bytes(store.used_bytes), `of ${bytes(store.capacity_bytes)}`,
      [count(store.objects, "object"), ...[["pinned", store.pinned_bytes], ["spilled", store.spilled_bytes]].filter(([, some]) => some).map(([what, some]) => `${bytes(some)} ${what}`)].join(" · "),
      line(history.map((moment) => moment.store_used))),
    tile("Tasks finished", number(totals.finished_tasks), "", failed, line(history.map((moment) => moment.finished - history[0].finished))),
    tile("Tasks a second", number(now), "", `${number(totals.tasks)} under way, ${number(totals.queued_tasks)} of them waiting`, line(rate)),
    tile("Workers", number(totals.workers), "", [`${number(totals.idle_workers)} idle · ${count(totals.actors, "actor")} · ${number(totals.drivers)} attached`, totals.crashed_workers ? el("b", {}, ` · ${number(totals.crashed_workers)} died`) : null],
      meter(totals.workers ? 1 - totals.idle_workers / totals.workers : 0)),
  );
  const kind = node.daemon ? "started by rustyray start" : "in a program";
  $("where").replaceChildren(code(node.program.split("/").pop()), ` · ${kind} · process ${node.pid} · up ${time(node.uptime_ms * 1e6)}`);
}

// ---- tables ----------------------------------------------------------------------------------------------

const COLUMNS = {
  tasks: [["Task", (t) => named(t.name), "name"], ["State", (t) => chip(t.state, t)], ["Kind", (t) => t.kind], ["Worker", (t) => code(t.worker ?? "")],
    ["Attempt", (t) => t.attempt, "num"], ["Time", (t) => time(t.duration_ns), "num"], ["Id", (t) => el("code", { class: "muted" }, t.id)]],
  failed: [["Task", (t) => named(t.name), "name"], ["Error", (t) => el("span", { class: "error" }, short(t.error)), "wide"], ["Worker", (t) => code(t.worker ?? "")],
    ["Attempt", (t) => t.attempt, "num"], ["Time", (t) => time(t.duration_ns), "num"]],
  actors: [["Class", (a) => named(a.class), "name"], ["Name", (a) => a.name ?? "", "name"], ["State", (a) => chip(a.state, a)], ["Worker", (a) => code(a.worker ?? "")],
    ["Calls under way", (a) => number(a.unfinished), "num"], ["Restarts", (a) => a.restarts, "num"], ["Why it died", (a) => el("span", { class: "error" }, a.reason ?? ""), "wide"]],
  objects: [["Object", (o) => code(o.id)], ["Type", (o) => el("code", {}, short(o.type_name))], ["State", (o) => chip(o.state, o)], ["Size", (o) => bytes(o.size_bytes), "num"],
    ["Held by", (o) => code(o.holders.join(", "))], ["Viewed by", (o) => code(o.pins.join(", "))], ["Made at", (o) => o.site ?? "", "wide"]],
  workers: [["Process", (w) => code(w.pid)], ["State", (w) => chip(w.state, w)], ["Queued", (w) => number(w.queued), "num"], ["Memory", (w) => bytes(w.rss_bytes), "num"],
    ["Cpu time", (w) => time(w.cpu_ms * 1e6), "num"], ["Actor", (w) => code(w.actor ?? "")], ["Program", (w) => el("span", { class: "muted" }, w.program.split("/").pop())]],
};
const short = (text) => { const first = String(text ?? "").split("\n")[0]; return first.length > 160 ? `${first.slice(0, 160)}…` : first; };
const key = (row) => `${row.id ?? row.pid}/${row.attempt ?? ""}/${row.started_ns ?? ""}`;
function rows(tab) {
  switch (tab) {
    case "tasks": return [...sample.running, ...sample.failed.slice(0, 20), ...sample.waiting, ...sample.finished.slice(0, 200)];
    case "failed": return sample.failed;
    default: return sample[tab] ?? [];
  }
}
const EMPTY = {
  tasks: ["No task yet", "Tasks show here as soon as the program submits one."],
  failed: ["Nothing failed", "A task that gives an error stays here with its causes."],
  actors: ["No actor", "Actors show here while they live, and why they died."],
  objects: ["No object", "The largest objects show here, and who holds them."],
  workers: ["No worker", "Workers are started when there is work for them."],
  timeline: ["Nothing recorded yet", "Tasks that end while this page is open show here."],
  logs: ["Nothing was written", "What workers print shows here."],
};
// None of `all` rows is shown: there are none, or the filter wants others.
function empty(tab, all) {
  const [what, more] = all ? ["Nothing matches the filter", `Without it there would be ${number(all)}.`] : EMPTY[tab];
  return el("div", { class: "empty" }, el("b", {}, what), more);
}
function wanted(row) {
  const filter = $("filter").value.trim().toLowerCase();
  return !filter || filter.split(/\s+/).every((part) => JSON.stringify(row).toLowerCase().includes(part));
}
function table(tab) {
  const all = rows(tab);
  shownRows = all.filter(wanted);
  if (!shownRows.length) return empty(tab, all.length);
  const columns = COLUMNS[tab];
  const head = el("tr", {}, columns.map(([name, , kind]) => el("th", { scope: "col", class: kind === "num" ? "num" : "" }, name)));
  const body = shownRows.map((row) => el("tr", { "aria-selected": key(row) === view.selected, "data-key": key(row), onclick: () => { view.selected = key(row); details(row); draw(); } },
    columns.map(([, cell, kind]) => el("td", { class: kind ?? "" }, cell(row)))));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, body));
}

// ---- details ---------------------------------------------------------------------------------------------

function details(row) {
  view.open = row;
  const drawer = $("drawer");
  const title = row.name && row.class === undefined ? named(row.name) : row.class ? named(row.class) : [String(row.id ?? row.pid)];
  const facts = [];
  const hidden = new Set(["name", "class", "error", "causes", "help", "reason"]);
  for (const [field, value] of Object.entries(row)) {
    if (hidden.has(field) || value === null || value === "" || (Array.isArray(value) && !value.length)) continue;
    const text = field.endsWith("_bytes") ? bytes(value) : field.endsWith("_ns") ? time(value) : field === "cpu_ms" ? time(value * 1e6) : field === "state" ? chip(value, row) : Array.isArray(value) ? value.join(", ") : String(value);
    facts.push(el("dt", {}, field.replace(/_(bytes|ns|ms)$/, "").replaceAll("_", " ")), el("dd", {}, text));
  }
  const parts = [el("div", { class: "head" }, el("h2", {}, title), el("button", { class: "quiet", "aria-label": "Close", onclick: close }, "✕")), el("dl", {}, facts)];
  const error = row.error ?? row.reason;
  if (error) {
    const chain = [error, ...(row.causes ?? [])];
    parts.push(el("h3", {}, chain.length > 1 ? "Error and its causes" : "Error"),
      el("ol", { class: "chain" }, chain.map((text, at) => el("li", {}, at ? el("small", {}, "caused by") : null, text))));
  }
  if (row.help) parts.push(el("h3", {}, "What to do"), el("p", { class: "advice" }, row.help));
  const pid = row.worker ?? (row.pid && row.state !== "driver" ? row.pid : null);
  if (pid) {
    const output = el("pre", {}, "…");
    parts.push(el("h3", {}, `What worker ${pid} wrote`), output);
    fetch(`api/logs?worker=${pid}`).then((answer) => answer.json()).then((written) => {
      output.textContent = written.slice(-60).map((entry) => entry.text).join("\n") || "nothing";
      output.scrollTop = output.scrollHeight;
    }).catch(() => { output.textContent = "cannot be read"; });
  }
  drawer.replaceChildren(...parts);
  drawer.hidden = false;
  // What is read out, and where the tab key goes on from, is what was opened.
  drawer.focus({ preventScroll: true });
}
function close() {
  // What was opened from the timeline is left to it; there is nothing to be left a second time but the bar.
  if (!view.open && view.tab === "timeline") { view.bar = null; draw(); }
  view.open = null; $("drawer").hidden = true;
  (view.tab === "timeline" && view.bar ? chart : $("panel")).focus({ preventScroll: true });
}

// ---- logs ------------------------------------------------------------------------------------------------

function logs() {
  const shown = lines.filter(wanted).slice(-500);
  if (!shown.length) return empty("logs", lines.length);
  return el("div", { class: "logs" }, shown.map((entry) => el("div", { class: `row ${entry.stream}` },
    el("span", {}, time(entry.at_ms * 1e6)), el("span", {}, String(entry.worker)), el("span", {}, entry.text))));
}

// ---- the page --------------------------------------------------------------------------------------------

function tabs() {
  const counts = { tasks: sample.node.totals.tasks, failed: sample.node.totals.failed_tasks, actors: sample.actors.length, objects: sample.node.store.objects, workers: sample.workers.length };
  const list = $("tabs");
  if (!list.children.length) {
    list.append(...TABS.map(({ id, name }) => el("button", { role: "tab", id: `tab-${id}`, "aria-controls": "panel", onclick: () => choose(id) }, name, el("span", { class: "count", hidden: "" }))));
  }
  TABS.forEach(({ id }) => {
    const tab = $(`tab-${id}`), count = tab.lastChild, chosen = id === view.tab;
    tab.setAttribute("aria-selected", chosen); tab.tabIndex = chosen ? 0 : -1;
    count.hidden = !(counts[id] > 0); count.textContent = number(counts[id] ?? 0);
    count.classList.toggle("bad", id === "failed");
  });
  $("panel").setAttribute("aria-labelledby", `tab-${view.tab}`);
}
function choose(tab) {
  view.tab = tab; view.selected = null;
  if (location.hash !== `#${tab}`) history.replaceState(null, "", `#${tab}`);
  if (tab === "logs") readLogs().then(draw);
  draw();
  $(`tab-${tab}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
// A part that stays is not taken out on the way.
function fill(panel, parts) {
  for (const part of [...panel.childNodes]) if (!parts.includes(part)) part.remove();
  parts.forEach((part, at) => { if (panel.childNodes[at] !== part) panel.insertBefore(part, panel.childNodes[at] ?? null); });
}
function draw() {
  if (!sample) return;
  tiles(); tabs();
  const panel = $("panel"), scrolled = panel.scrollLeft;
  const before = panel.querySelector(".logs"), read = before?.scrollTop;
  const follows = !before || read + before.clientHeight > before.scrollHeight - 30;
  fill(panel, [view.tab === "timeline" ? timeline() : view.tab === "logs" ? logs() : table(view.tab)].flat());
  panel.scrollLeft = scrolled;
  // The newest line is the last one: it is in sight, unless somebody reads what is above.
  const written = panel.querySelector(".logs");
  if (written) written.scrollTop = follows ? written.scrollHeight : read;
  document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
}
function pulse(kind, text) { $("pulse").className = kind; $("pulse-text").textContent = text; }
async function readLogs() {
  const after = lines.length ? lines[lines.length - 1].number : 0;
  const more = await (await fetch(`api/logs?after=${after}`)).json();
  lines = [...lines, ...more].slice(-2000);
}
async function refresh() {
  if (document.hidden || view.still) return;
  try {
    const answer = await fetch("api/state");
    if (answer.status === 401) { pulse("gone", "the token is not valid any more"); return; }
    const said = await answer.json();
    if (said.gone) { pulse("gone", said.gone); if (!sample) $("panel").replaceChildren(el("div", { class: "empty" }, el("b", {}, "No node"), said.gone)); return; }
    if (sample && sample.node.session !== said.node.session) lines = [];
    sample = said;
    if (view.tab === "logs") await readLogs();
    pulse("live", "live");
    draw();
  } catch { pulse("gone", "the dashboard has ended"); }
}
const isDark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
function theme(chosen) {
  if (chosen) { document.documentElement.dataset.theme = chosen; try { localStorage.setItem("theme", chosen); } catch { /* private window */ } }
  $("theme").replaceChildren(isDark()
    ? svg("svg", { viewBox: "0 0 24 24" }, svg("circle", { cx: 12, cy: 12, r: 4 }), svg("path", { d: "M12 2v2m0 16v2M4.9 4.9l1.4 1.4m11.4 11.4 1.4 1.4M2 12h2m16 0h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4" }))
    : svg("svg", { viewBox: "0 0 24 24" }, svg("path", { d: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z" })));
  if (sample) draw();
}
function move(by) {
  if (!shownRows.length || view.tab === "logs") return;
  const at = shownRows.findIndex((row) => key(row) === view.selected);
  const next = Math.min(Math.max(at + by, 0), shownRows.length - 1);
  view.selected = key(shownRows[at < 0 ? 0 : next]);
  draw();
  document.querySelector('tr[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  // Enter is the row's from here on, and no longer that of a button that was tabbed to.
  if (view.open) details(shownRows.find((row) => key(row) === view.selected));
  else $("panel").focus({ preventScroll: true });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target === $("filter")) { if (event.key === "Escape") { $("filter").value = ""; $("filter").blur(); draw(); } return; }
  const tab = TABS[Number(event.key) - 1];
  const at = TABS.findIndex(({ id }) => id === view.tab);
  const inTabs = event.target.getAttribute?.("role") === "tab";
  const turn = (by) => { choose(TABS[(at + by + TABS.length) % TABS.length].id); $(`tab-${view.tab}`).focus(); };
  if (tab) choose(tab.id);
  else if (inTabs && event.key === "ArrowRight") turn(1);
  else if (inTabs && event.key === "ArrowLeft") turn(-1);
  else if (view.tab === "timeline" && steer(event.key)) { /* it led to a bar */ }
  else if (event.key === "j" || event.key === "ArrowDown") move(1);
  else if (event.key === "k" || event.key === "ArrowUp") move(-1);
  else if (event.key === "Enter" && !(event.target.closest?.("button"))) { const row = view.tab === "timeline" ? chosen()?.task : shownRows.find((found) => key(found) === view.selected); if (!row) return; details(row); }
  else if (event.key === "/") $("filter").focus();
  else if (event.key === "+" || event.key === "=") zoom(2);
  else if (event.key === "-") zoom(0.5);
  else if (event.key === "0") zoom(0);
  else if (event.key === "t") theme(isDark() ? "light" : "dark");
  else if (event.key === "?") $("help").showModal();
  else if (event.key === "Escape") close();
  else if (event.key === " " && !(event.target.closest?.("button"))) { view.still = !view.still; pulse(view.still ? "still" : "live", view.still ? "holding still" : "live"); }
  else return;
  event.preventDefault();
});
$("filter").addEventListener("input", draw);
$("theme").addEventListener("click", () => theme(isDark() ? "light" : "dark"));
$("help-button").addEventListener("click", () => $("help").showModal());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme());
addEventListener("resize", draw);
document.addEventListener("visibilitychange", refresh);
let kept = null;
try { kept = localStorage.getItem("theme"); } catch { /* private window */ }
const asked = new URLSearchParams(location.search).get("theme");
theme(asked ?? kept);
if (TABS.some(({ id }) => `#${id}` === location.hash)) view.tab = location.hash.slice(1);
// When all scripts are there.
addEventListener("DOMContentLoaded", () => { refresh(); setInterval(refresh, 1000); });
