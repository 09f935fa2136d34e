// The segments of a video, as blocks whose edges can be dragged; split, merged, and translated again.

import { clamp, h, place } from "./dom.js";
import { clock, t } from "./texts.js";

const SHORTEST = 0.3; // seconds of a segment

/** -> {element, tools, current(), mark(segment), onchange}. `now()`: seconds; `onretranslate([{start, end}])`. */
export function segmentLane({ segments, seconds, fps, now, onselect, onretranslate }) {
  let parts = segments.map((each) => ({ ...each }));
  let marked = parts[0];
  let blocks = new Map();
  const element = h("div", { class: "segments", role: "group", "aria-label": t("segments") });
  const button = (key, onclick, props = {}) => h("button", { type: "button", class: "small", onclick, ...props }, t(key));
  const buttons = {
    split: button("split", split),
    merge: button("merge", merge),
    cut: button("cut", cutEvenly),
    discard: button("discard", () => change(segments.map((each) => ({ ...each })))),
    again: button("retranslate", () => onretranslate(parts.map(({ start, end }) => ({ start, end }))), { class: "small primary" }),
  };
  const tools = h("div", { class: "tools buttons", role: "group", "aria-label": t("segments") }, Object.values(buttons));
  const self = { element, tools, current: () => parts, mark, onchange: () => {} };

  function change(newParts) {
    parts = newParts;
    draw();
    self.onchange();
  }

  /** A part of the video that is not translated yet. */
  const fresh = (start, end) => ({ start, end, sentence: "", n_best: [], isNew: true });
  const under = (time) => parts.find((each) => each.start <= time && time < each.end);
  const isChanged = () => parts.length !== segments.length || parts.some((each) => each.isNew);

  /** The part under the playhead, if both of its sides would be long enough. */
  function divisible() {
    const time = now(), part = under(time);
    return part && time - part.start >= SHORTEST && part.end - time >= SHORTEST ? part : null;
  }

  function split() {
    const time = now(), part = divisible();
    change(parts.flatMap((each) => (each === part ? [fresh(part.start, time), fresh(time, part.end)] : [each])));
  }

  function merge() {
    const place = parts.indexOf(marked);
    if (place < 0 || place + 1 >= parts.length) return;
    change([...parts.slice(0, place), fresh(marked.start, parts[place + 1].end), ...parts.slice(place + 2)]);
  }

  function cutEvenly() {
    const count = parts.length + 1;
    change(Array.from({ length: count }, (_, part) => fresh((part * seconds) / count, ((part + 1) * seconds) / count)));
  }

  /** Move one edge ("start" or "end") of a part; the edge of a neighbour that touches it moves along. */
  function moveEdge(part, edge, time) {
    const number = parts.indexOf(part);
    const neighbour = parts[number + (edge === "start" ? -1 : 1)];
    const other = edge === "start" ? "end" : "start";
    const touches = neighbour && Math.abs(neighbour[other] - part[edge]) < 0.5 / fps;
    const farthest = !neighbour ? (edge === "start" ? 0 : seconds)
      : touches ? neighbour[edge] + (edge === "start" ? SHORTEST : -SHORTEST) : neighbour[other];
    const nearest = edge === "start" ? part.end - SHORTEST : part.start + SHORTEST;
    const moved = clamp(time, Math.min(farthest, nearest), Math.max(farthest, nearest));
    if (Math.abs(moved - part[edge]) < 1e-3) return;
    for (const [each, side] of touches ? [[part, edge], [neighbour, other]] : [[part, edge]])
      Object.assign(each, { [side]: Math.round(moved * 1000) / 1000, isNew: true, sentence: "", n_best: [] });
    parts.forEach(update);
    showTools();
    self.onchange();
  }

  function handle(part, edge) {
    const grip = h("span", { class: `edge ${edge}`, role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": seconds });
    const timeAt = (event) => {
      const box = element.getBoundingClientRect();
      return ((event.clientX - box.left) / box.width) * seconds;
    };
    let offset = 0; // seconds between the edge and the place where it was grasped
    grip.addEventListener("pointerdown", (event) => {
      offset = part[edge] - timeAt(event);
      grip.setPointerCapture(event.pointerId);
    });
    grip.addEventListener("pointermove", (event) => {
      if (grip.hasPointerCapture(event.pointerId)) moveEdge(part, edge, timeAt(event) + offset);
    });
    grip.addEventListener("click", (event) => event.stopPropagation());
    grip.addEventListener("keydown", (event) => {
      const step = (event.shiftKey ? 1 : 1 / fps) * ({ ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key] ?? 0);
      if (!step) return;
      event.preventDefault();
      moveEdge(part, edge, part[edge] + step);
    });
    return grip;
  }

  function draw() {
    blocks = new Map(parts.map((part) => {
      const body = h("button", { type: "button", class: "body", onclick: () => { mark(part); onselect(part); } });
      const grips = { start: handle(part, "start"), end: handle(part, "end") };
      return [part, { block: h("div", { class: "block" }, body, grips.start, grips.end), body, grips }];
    }));
    element.replaceChildren(...[...blocks.values()].map(({ block }) => block));
    parts.forEach(update);
    mark(under(now()) ?? parts[0]);
  }

  function update(part, number) {
    const { block, body, grips } = blocks.get(part);
    const text = part.isNew ? t("segment_new") : part.sentence || part.error?.problem || "–";
    place(block, part.start / seconds, part.end / seconds);
    block.classList.toggle("fresh", Boolean(part.isNew));
    body.textContent = parts.length > 1 ? `${number + 1}  ${text}` : text;
    body.title = `${clock(part.start, 2)} – ${clock(part.end, 2)}  ${text}`;
    body.setAttribute("aria-label", t("segment", { number: number + 1, start: clock(part.start), end: clock(part.end), text }));
    for (const [edge, grip] of Object.entries(grips)) {
      grip.setAttribute("aria-label", t(`edge_${edge}`, { number: number + 1 }));
      grip.setAttribute("aria-valuenow", part[edge].toFixed(2));
      grip.setAttribute("aria-valuetext", clock(part[edge], 2));
    }
  }

  function mark(part) {
    marked = part;
    for (const [each, { block }] of blocks) block.classList.toggle("current", each === part);
    showTools();
  }

  function showTools() {
    const place = parts.indexOf(marked);
    buttons.split.disabled = !divisible();
    buttons.merge.disabled = place < 0 || place + 1 >= parts.length;
    buttons.discard.hidden = buttons.again.hidden = !isChanged();
  }

  draw();
  return self;
}
