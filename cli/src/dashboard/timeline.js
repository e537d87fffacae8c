// The timeline: lanes for each worker, and in them a bar for each task that ran there.
//
// It is a canvas, since there may be thousands of bars. For who uses no mouse, and for who sees nothing of it, the same
// bars are a list box, of which the chosen bar alone is an element: it lies over what was painted, and the focus stays
// with the box, which names it as its active descendant. The box stays in the page while the canvas is painted again,
// once a second: taken out, it would lose the focus.
"use strict";

const HUES = [22, 205, 150, 268, 48, 330, 178, 95, 235, 0];
// Pixels: a lane and what is below it, what the names of workers take, and what lies around the lanes.
const LANE = 26, GAP = 6, LEFT = 96, RIGHT = 20, TOP = 14, BOTTOM = 34;

const canvas = el("canvas", { id: "timeline", "aria-hidden": "true" });
const chart = el("div", { id: "chart", role: "listbox", tabindex: 0 }, canvas);
// Every bar, by worker and then by when it began; where it was painted, if it is in sight.
let bars = [];
let shown = { start: 0, end: 1, first: 0, last: 1 };

function colour(name, names) {
  const hue = HUES[names.indexOf(name) % HUES.length], dark = isDark();
  return `hsl(${hue} ${dark ? 52 : 58}% ${dark ? 56 : 52}%)`;
}
// What can be read on a colour that a canvas gave, which is six digits.
function ink(fill) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(fill.slice(at, at + 2), 16) / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#141210" : "#ffffff";
}
const swatch = (fill) => svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { width: 10, height: 10, rx: 3, fill }));

function timeline() {
  const now = sample.node.uptime_ms * 1e6;
  const running = sample.running.map((task) => ({ ...task, duration_ns: Math.max(now - task.started_ns, 0) }));
  const all = [...sample.finished, ...sample.failed, ...running].filter((task) => task.started_ns !== null && task.duration_ns !== null);
  const tasks = all.filter(wanted);
  if (!tasks.length) {
    // No key leads to a bar that is not there.
    bars = []; mark();
    return empty("timeline", all.length);
  }
  const counted = new Map();
  tasks.forEach((task) => counted.set(task.name, (counted.get(task.name) ?? 0) + 1));
  const names = [...counted.keys()].sort();
  const legend = el("div", { class: "legend" }, names.slice(0, HUES.length).map((name) => el("span", {}, swatch(colour(name, names)), named(name).at(-1), ` ${counted.get(name)}`)),
    names.length > HUES.length ? `and ${names.length - HUES.length} more` : null,
    el("span", { class: "hint" }, "+ and − zoom · arrows go from bar to bar"));
  const workers = layOut(tasks);
  chart.setAttribute("aria-label", `${count(tasks.length, "task")} on ${count(workers.length, "worker")} over time`);
  // What it is as wide as is known when it is in the page.
  requestAnimationFrame(() => { paint(workers, names); mark(); });
  return [legend, chart];
}

// Gives each task a bar, and each worker as many lanes as it ran tasks at once.
function layOut(tasks) {
  const workers = [...new Set(tasks.map((task) => task.worker))].sort((a, b) => a - b).map((pid) => ({ pid, lanes: [] }));
  const by = new Map(workers.map((worker) => [worker.pid, worker]));
  const inOrder = [...tasks].sort((a, b) => a.started_ns - b.started_ns || b.duration_ns - a.duration_ns);
  bars = inOrder.map((task) => {
    const worker = by.get(task.worker), from = task.started_ns, to = from + task.duration_ns;
    const free = worker.lanes.findIndex((until) => until <= from), lane = free < 0 ? worker.lanes.length : free;
    worker.lanes[lane] = to;
    return { task, worker, lane, from, to, key: key(task) };
  }).sort((a, b) => workers.indexOf(a.worker) - workers.indexOf(b.worker) || a.from - b.from);
  let above = 0;
  for (const worker of workers) { worker.above = above; above += worker.lanes.length; }
  return workers;
}

function paint(workers, names) {
  // A filter may have left none since this was asked for.
  if (!bars.length) return;
  const style = getComputedStyle(document.documentElement), of = (name) => style.getPropertyValue(name).trim();
  const first = Math.min(...bars.map((bar) => bar.from)), last = Math.max(...bars.map((bar) => bar.to));
  const span = Math.max((last - first) / view.zoom, 10);
  const start = view.middle === null ? last - span : Math.max(Math.min(view.middle - span / 2, last - span), first), end = start + span;
  shown = { start, end, first, last };
  const lanes = workers.reduce((sum, worker) => sum + worker.lanes.length, 0);
  const width = chart.clientWidth, height = TOP + lanes * (LANE + GAP) + BOTTOM, scale = devicePixelRatio || 1;
  canvas.style.height = `${height}px`; canvas.width = width * scale; canvas.height = height * scale;
  const pen = canvas.getContext("2d"); pen.scale(scale, scale);
  const right = width - RIGHT, x = (ns) => LEFT + (ns - start) / span * (right - LEFT);
  pen.font = `12px ${of("--sans")}`; pen.textBaseline = "middle";
  const step = nice(span / 8);
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
    pen.fillStyle = of("--line"); pen.fillRect(Math.round(x(at)), TOP - 6, 1, height - 36);
    pen.fillStyle = of("--faint"); pen.textAlign = "center"; pen.fillText(time(Math.round(at)), x(at), height - 14);
  }
  for (const worker of workers) {
    const y = TOP + worker.above * (LANE + GAP);
    pen.fillStyle = of("--muted"); pen.textAlign = "right"; pen.fillText(String(worker.pid), LEFT - 14, y + LANE / 2);
    pen.fillStyle = of("--raised"); worker.lanes.forEach((_, lane) => pen.fillRect(LEFT, y + lane * (LANE + GAP), right - LEFT, LANE));
  }
  for (const bar of bars) {
    bar.place = null;
    if (bar.to < start || bar.from > end) continue;
    const from = Math.max(x(bar.from), LEFT), wide = Math.max(Math.min(x(bar.to), right) - from, 1.5);
    const y = TOP + (bar.worker.above + bar.lane) * (LANE + GAP);
    bar.place = { from, y, wide };
    pen.fillStyle = bar.task.state === "failed" ? of("--bad") : colour(bar.task.name, names);
    const letters = ink(pen.fillStyle);
    // What still runs is paler: its end is not known.
    pen.globalAlpha = bar.task.state === "running" ? .6 : 1;
    pen.beginPath(); pen.roundRect(from, y + 2, wide, LANE - 4, Math.min(3, wide / 2)); pen.fill();
    pen.globalAlpha = 1;
    if (wide > 64) {
      pen.save(); pen.beginPath(); pen.rect(from, y, wide - 6, LANE); pen.clip();
      pen.fillStyle = letters; pen.textAlign = "left"; pen.fillText(bar.task.name.split("::").pop(), from + 7, y + LANE / 2 + .5); pen.restore();
    }
  }
}
function nice(rough) { const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1))); return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? power * 10; }

// ---- the chosen bar --------------------------------------------------------------------------------------

const about = (task) => `${task.name} · ${task.state === "running" ? "running for " : ""}${time(task.duration_ns)}${task.state === "failed" ? " · failed" : ""} · worker ${task.worker}`;
const chosen = () => bars.find((bar) => bar.key === view.bar);

// Puts the chosen bar's element over what was painted, if that is in sight.
function mark() {
  const bar = chosen(), before = chart.querySelector("[role=option]");
  if (!bar) { before?.remove(); chart.removeAttribute("aria-activedescendant"); return; }
  // Another element for another bar, so that it is read out.
  const id = `bar-${bar.key}`, option = before?.id === id ? before : el("div", { role: "option", id, "aria-selected": "true" }, el("span", {}));
  const of = bars.filter(({ worker }) => worker === bar.worker);
  option.setAttribute("aria-setsize", of.length); option.setAttribute("aria-posinset", of.indexOf(bar) + 1);
  option.firstChild.textContent = about(bar.task);
  if (option !== before) { before?.remove(); chart.append(option); }
  chart.setAttribute("aria-activedescendant", id);
  option.hidden = !bar.place;
  if (!bar.place) return;
  const { from, y, wide } = bar.place;
  Object.assign(option.style, { left: `${from}px`, top: `${y + 2}px`, width: `${wide}px`, height: `${LANE - 4}px` });
  // What it says begins where it does, and ends within the chart.
  option.firstChild.style.left = `${Math.min(0, chart.clientWidth - RIGHT - from - option.firstChild.offsetWidth)}px`;
  if (option !== before) option.scrollIntoView({ block: "nearest" });
}
function chooseBar(bar) {
  if (!bar) return;
  view.bar = bar.key;
  const middle = (bar.from + bar.to) / 2;
  // A part of the whole stays where the chosen bar is, also when more comes.
  if (view.zoom > 1 && (view.middle === null || middle < shown.start || middle > shown.end)) view.middle = middle;
  if (view.open) details(bar.task);
  draw();
}
// The bar that an arrow leads to from the chosen one, or the newest where none is.
function neighbour(arrow) {
  const bar = chosen();
  if (!bar) return bars.reduce((newest, other) => newest && newest.to > other.to ? newest : other, null);
  const of = bars.filter(({ worker }) => worker === bar.worker), at = of.indexOf(bar);
  switch (arrow) {
    case "ArrowLeft": return of[at - 1];
    case "ArrowRight": return of[at + 1];
    case "Home": return of[0];
    case "End": return of.at(-1);
  }
  // Of the worker above or below, the one that is nearest in time.
  const workers = [...new Set(bars.map(({ worker }) => worker))];
  const beside = workers[workers.indexOf(bar.worker) + (arrow === "ArrowDown" ? 1 : -1)];
  const far = (other) => Math.max(other.from - bar.to, bar.from - other.to, 0) * 2 + Math.abs(other.from - bar.from) * 1e-3;
  return bars.filter(({ worker }) => worker === beside).reduce((nearest, other) => nearest && far(nearest) <= far(other) ? nearest : other, null);
}
const ARROWS = { h: "ArrowLeft", l: "ArrowRight", j: "ArrowDown", k: "ArrowUp" };
// Whether a key was for the bars.
function steer(pressed) {
  const arrow = ARROWS[pressed] ?? pressed;
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(arrow)) return false;
  if (!view.open) chart.focus({ preventScroll: true });
  chooseBar(neighbour(arrow));
  return true;
}
function zoom(factor, middle) {
  view.zoom = factor ? Math.min(Math.max(view.zoom * factor, 1), 4096) : 1;
  const bar = chosen();
  view.middle = view.zoom === 1 ? null : middle ?? (bar ? (bar.from + bar.to) / 2 : view.middle);
  draw();
}
chart.addEventListener("focus", () => { if (!chosen() && chart.matches(":focus-visible")) chooseBar(neighbour()); });

// ---- with a mouse ----------------------------------------------------------------------------------------

function hit(event) {
  const box = canvas.getBoundingClientRect(), at = event.clientX - box.left, down = event.clientY - box.top;
  return bars.findLast(({ place }) => place && at >= place.from - 1 && at <= place.from + place.wide + 1 && down >= place.y && down <= place.y + LANE);
}
canvas.onmousemove = (event) => {
  const bar = hit(event), tip = $("tip");
  tip.hidden = !bar; canvas.style.cursor = bar ? "pointer" : "default";
  if (!bar) return;
  tip.textContent = about(bar.task);
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 12)}px`; tip.style.top = `${event.clientY + 16}px`;
};
canvas.onmouseleave = () => { $("tip").hidden = true; };
canvas.onclick = (event) => { const bar = hit(event); if (bar) { chooseBar(bar); details(bar.task); } };
canvas.addEventListener("wheel", (event) => {
  const span = shown.end - shown.start, share = (event.clientX - canvas.getBoundingClientRect().left - LEFT) / (canvas.clientWidth - LEFT - RIGHT);
  if (event.ctrlKey) {
    // What is below the pointer stays there.
    const factor = 2 ** (-event.deltaY / 200), at = shown.start + share * span;
    zoom(factor, at + (.5 - share) * span / factor);
  } else if (view.zoom > 1 && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
    view.middle = Math.max(Math.min((shown.start + shown.end) / 2 + (event.deltaX || event.deltaY) / canvas.clientWidth * span, shown.last - span / 2), shown.first + span / 2);
    draw();
  } else return;
  event.preventDefault();
}, { passive: false });
