// The pseudo-gloss timeline under the player: rows of heat, seconds, and a playhead that mouse and keyboard move.

import { clamp, h, place, svg } from "./dom.js";
import { clock, percent, t } from "./texts.js";

/** Rows of a timeline: the pseudo-glosses with the highest peaks. */
const numRows = (numSegments) => Math.min(24, 8 + 2 * numSegments);
const GAMMA = 0.6; // keeps faint scores visible, as in the report
const FAINTEST = 0.03; // of the highest score: weaker cells are not drawn
const NUM_HOVERED = 3; // names that the readout lists
const NARROWEST = 26; // pixels of a second: long videos scroll
const SECONDS_IN_VIEW = 30; // about, for the distance of the ticks
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120];

/** Segments -> [{name, cells: [{start, end, score}], peak}] of the strongest pseudo-glosses, in the order of peaks. */
export function rowsOf(segments) {
  const rows = new Map();
  for (const { start, end, timeline } of segments) {
    const { names = [], times = [], values = [] } = timeline ?? {};
    const edges = [start, ...times.slice(1).map((time, place) => (time + times[place]) / 2), end];
    names.forEach((name, row) => {
      if (!rows.has(name)) rows.set(name, []);
      values[row].forEach((score, place) => rows.get(name).push({ start: edges[place], end: edges[place + 1], score }));
    });
  }
  return [...rows].map(([name, cells]) => ({ name, cells, peak: cells.reduce((a, b) => (b.score > a.score ? b : a)) }))
    .sort((a, b) => b.peak.score - a.peak.score).slice(0, numRows(segments.length))
    .sort((a, b) => a.peak.start - b.peak.start);
}

/** `lane`: the row of segments, `tools`: its buttons. -> {element, seek(seconds), stop(), onmove} */
export function timelineOf({ video, segments, seconds, fps, lane, tools }) {
  const rows = rowsOf(segments);
  const highest = Math.max(1e-9, ...rows.map((row) => row.peak.score));
  const self = { onmove: () => {}, seek, stop: () => { isOver = true; } };
  let isOver = false, isDragging = false;

  const line = h("div", { class: "line" });
  const readout = h("output", { class: "readout" });
  const scrub = h("div", { class: "scrub", role: "slider", tabindex: 0, "aria-label": t("position"), "aria-valuemin": 0, "aria-valuemax": seconds.toFixed(2) });
  const names = rows.map((row) => h("button", {
    type: "button", class: "name", "aria-label": t("go_to", { name: row.name, time: clock(middle(row.peak)) }),
    onclick: () => seek(middle(row.peak)),
  }, row.name));
  const playing = h("button", { type: "button", class: "small", onclick: toggle }, t("play"));
  const over = h("div", { class: "over" }, line);
  const lines = [[h("span", { class: "label" }, t("segments")), lane], ...rows.map((row, place) => [names[place], heat(row, highest, seconds)]), [axis(seconds)]];
  lines.forEach((cells, row) => cells.forEach((cell) => { cell.style.gridRow = row + 1; }));
  scrub.style.gridRow = `2 / ${lines.length + 1}`;
  over.style.gridRow = `1 / ${lines.length + 1}`;
  const tracks = h("div", { class: "tracks" }, lines, scrub, over);
  const scroll = h("div", { class: "scroll" }, tracks);
  tracks.style.minWidth = `calc(var(--names) + ${Math.round(NARROWEST * seconds)}px)`;
  self.element = h("section", { class: "card timeline", "aria-label": t("timeline") },
    h("div", { class: "timeline-head" }, h("h2", {}, t("timeline")), playing, readout),
    h("p", { class: "quiet" }, t(rows.length ? "timeline_help" : "timeline_none")), scroll, tools,
    h("p", { class: "quiet small keys" }, t("keys")));

  function seek(time) {
    video.currentTime = clamp(time, 0, Math.max(0, seconds - 0.5 / fps));
    move();
  }

  function toggle() {
    if (video.paused) video.play().catch(() => {});
    else video.pause();
  }

  function move() {
    const now = clamp(video.currentTime, 0, seconds);
    place(line, now / seconds);
    scrub.setAttribute("aria-valuenow", now.toFixed(2));
    const heard = strongest(rows, now, highest).map(({ name }) => name).join(", ");
    scrub.setAttribute("aria-valuetext", t("position_value", { now: clock(now, 2), end: clock(seconds, 2), names: heard }));
    if (!isDragging) readout.textContent = `${clock(now, 2)} / ${clock(seconds, 2)}`;
    if (!video.paused) keepInView(scroll, line);
    self.onmove(now);
  }

  function follow() {
    if (isOver || video.paused) return;
    move();
    requestAnimationFrame(follow);
  }

  const timeAt = (event) => {
    const box = scrub.getBoundingClientRect();
    return clamp((event.clientX - box.left) / box.width, 0, 1) * seconds;
  };

  function hover(event) {
    const time = timeAt(event);
    const list = strongest(rows, time, highest).map(({ name, score }) => `${name} ${percent(score)}`).join("  ");
    readout.textContent = `${clock(time, 2)}  ${list}`;
    const row = Math.floor((event.clientY - scrub.getBoundingClientRect().top) / (names[0]?.offsetHeight || 1));
    names.forEach((name, number) => name.classList.toggle("hovered", number === row));
  }

  scrub.addEventListener("pointerdown", (event) => {
    isDragging = true;
    scrub.setPointerCapture(event.pointerId);
    seek(timeAt(event));
  });
  scrub.addEventListener("pointermove", (event) => { hover(event); if (isDragging) seek(timeAt(event)); });
  for (const kind of ["pointerup", "pointercancel"]) scrub.addEventListener(kind, () => { isDragging = false; });
  scrub.addEventListener("pointerleave", () => { names.forEach((name) => name.classList.remove("hovered")); move(); });
  scrub.addEventListener("keydown", (event) => {
    const now = video.currentTime, step = event.shiftKey ? 1 : 1 / fps;
    const starts = segments.map((each) => each.start);
    const moves = {
      ArrowRight: now + step, ArrowUp: now + step, ArrowLeft: now - step, ArrowDown: now - step,
      Home: 0, End: seconds,
      PageDown: starts.find((start) => start > now + 0.01) ?? seconds,
      PageUp: starts.findLast((start) => start < now - 0.01) ?? 0,
    };
    if (event.key === " ") toggle();
    else if (event.key in moves) seek(moves[event.key]);
    else return;
    event.preventDefault();
  });
  video.addEventListener("play", () => { playing.textContent = t("pause"); follow(); });
  video.addEventListener("pause", () => { playing.textContent = t("play"); move(); });
  for (const kind of ["seeked", "timeupdate", "loadedmetadata"]) video.addEventListener(kind, move);
  place(line, 0);
  return self;
}

const middle = ({ start, end }) => (start + end) / 2;

/** The names with the highest scores at a time: [{name, score}], without those that are not drawn. */
function strongest(rows, time, highest) {
  return rows.map(({ name, cells }) => ({ name, score: cells.find((cell) => cell.start <= time && time < cell.end)?.score ?? 0 }))
    .filter(({ score }) => score >= FAINTEST * highest)
    .sort((a, b) => b.score - a.score).slice(0, NUM_HOVERED);
}

function heat({ cells }, highest, seconds) {
  const shown = cells.filter(({ score }) => score >= FAINTEST * highest);
  return h("div", { class: "heat", "aria-hidden": "true" },
    svg("svg", { viewBox: `0 0 ${seconds} 1`, preserveAspectRatio: "none" }, shown.map(({ start, end, score }) =>
      svg("rect", { x: start, width: end - start, height: 1, opacity: ((score / highest) ** GAMMA).toFixed(3) }))));
}

function axis(seconds) {
  const inView = Math.min(seconds, SECONDS_IN_VIEW);
  const step = STEPS.find((each) => inView / each <= 8) ?? 300;
  const count = Math.ceil(seconds / step - 1e-9);
  return h("div", { class: "axis", "aria-hidden": "true" }, Array.from({ length: count }, (_, number) => number * step).map((time) =>
    place(h("span", { class: "tick" }, seconds >= 60 ? clock(time, 0) : `${+time.toFixed(1)} s`), time / seconds)));
}

function keepInView(scroll, line) {
  const box = scroll.getBoundingClientRect(), at = line.getBoundingClientRect().left;
  if (at > box.right - 20) scroll.scrollLeft += box.width / 2;
  else if (at < box.left) scroll.scrollLeft -= box.left - at + box.width / 2;
}
