// A small line chart: one quantity of a stage over its steps.

import { h, svg } from "./dom.js";
import { number, t } from "./texts.js";

const WIDTH = 280, HEIGHT = 150, LEFT = 46, RIGHT = 8, TOP = 10, BOTTOM = 22;

const short = (value) => (value && Math.abs(value) < 1e-3 ? value.toExponential(1) : `${+value.toPrecision(3)}`);

/** `lines`: {"step", "train" or "dev": [[step, value], ...]} */
export function chart(stage, name, lines) {
  const points = Object.values(lines).flat();
  const [first, last] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
  const high = Math.max(...points.map(([, y]) => y));
  const lowest = Math.min(...points.map(([, y]) => y));
  const low = lowest > 0 && lowest < high / 2 ? 0 : lowest;
  const x = (step) => LEFT + ((step - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const ends = Object.entries(lines).map(([kind, line]) =>
    t("from_to", { kind: t(`curve_${kind}`), first: short(line[0][1]), last: short(line.at(-1)[1]) }));
  const now = name === "lr" ? high : (lines.dev ?? lines.train ?? lines.step).at(-1)[1];
  return h("figure", { class: "card chart" },
    h("figcaption", {}, h("span", {}, name), h("b", {}, short(now))),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("chart", { name, stage, summary: ends.join("; ") }) },
      [low, (low + high) / 2, high].map((level) => [
        svg("line", { class: "level", x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level) }),
        svg("text", { x: LEFT - 6, y: y(level) + 3, "text-anchor": "end" }, short(level))]),
      svg("text", { x: LEFT, y: HEIGHT - 6 }, number(Math.floor(first), 0)),
      svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, number(last, 0)),
      Object.entries(lines).map(([kind, line]) => line.length > 1
        ? svg("polyline", { class: kind, points: line.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })
        : svg("circle", { class: kind, cx: x(line[0][0]), cy: y(line[0][1]), r: 3 }))));
}
