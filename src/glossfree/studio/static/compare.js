// Two runs on the same clips: scores with their certainty, then clip by clip, the largest change first.

import { get } from "./api.js";
import { h, select } from "./dom.js";
import { clipSource, clipVideo, emptyState, failure, heading, marked, pages } from "./parts.js";
import { number, t } from "./texts.js";

const PAGE = 12;
const METRICS = { bleu4: "BLEU-4", rouge_l: "ROUGE-L", chrf: "chrF" };

export function showCompare(root, studio) {
  const title = heading(t("compare"), t("compare_lead"));
  if (studio.runs.length < 2) {
    root.append(...title, emptyState(t("need_two"), t("need_two_remedy"), "glossfree studio MODEL --corpus FOLDER --run RUN_A --run RUN_B"));
    return;
  }
  const filter = { a: studio.runs[0].id, b: studio.runs[1].id, split: "test" };
  const controls = h("div", { class: "controls" });
  const summary = h("div", {}), list = h("ul", { class: "pairs" }), more = h("div", { class: "more" });
  root.append(...title, controls, summary, list, more);

  function draw() {
    const sides = [filter.a, filter.b].map((id) => studio.runs.find((run) => String(run.id) === String(id)));
    const splits = sides[0].splits.filter((split) => sides[1].splits.includes(split));
    if (!splits.includes(filter.split)) [filter.split] = splits;
    const runs = studio.runs.map((each) => [each.id, each.name]);
    const set = (name) => (value) => { filter[name] = value; draw(); };
    controls.replaceChildren(select(t("run_a"), runs, filter.a, set("a")), select(t("run_b"), runs, filter.b, set("b")),
      ...(splits.length ? [select(t("split_label"), splits.map((each) => [each, t(`split_${each}`)]), filter.split, set("split"))] : []));
    list.replaceChildren();
    more.replaceChildren();
    if (!splits.length) summary.replaceChildren(h("p", { class: "notice" }, t("no_common")));
    else load();
  }

  function load() {
    const { a, b, split } = filter;
    pages(list, more, async (offset) => {
      const answer = await get(`/v1/compare?${new URLSearchParams({ a, b, split, offset, limit: PAGE })}`);
      if (offset === 0) summary.replaceChildren(...overview(answer));
      return { total: answer.total, items: answer.clips.map((each) => ({ ...each, corpus: answer.corpus })) };
    }, clipCard).catch((error) => more.replaceChildren(failure(error)));
  }

  draw();
}

const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`;

function overview({ metrics, wins, ties, losses, num_sentences: total }) {
  const head = [t("metric"), "A", "B", t("difference"), t("interval"), t("p_value")];
  const rows = Object.entries(METRICS).map(([key, name]) => [name, metrics[key]]);
  const parts = [["losses", losses], ["ties", ties], ["wins", wins]];
  return [
    h("div", { class: "card wide", tabindex: 0, role: "region", "aria-label": t("metric") }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(([name, { a, b, difference, interval, p_randomisation: p }]) => h("tr", {},
        h("th", { scope: "row" }, name), h("td", {}, number(a)), h("td", {}, number(b)), h("td", {}, h("b", {}, signed(difference))),
        h("td", {}, `${signed(interval.low)} … ${signed(interval.high)}`), h("td", {}, p < 0.001 ? "< 0.001" : number(p, 3))))))),
    h("div", { class: "balance" }, parts.map(([name, count]) => {
      const part = h("span", { class: name }, t(name, { count: number(count, 0) }));
      part.style.flexGrow = Math.max(count / total, 0.001);
      return part;
    })),
    h("p", { class: "quiet" }, t("largest"), " · ", t("marks")),
  ];
}

const clipCard = (each) => h("li", { class: "card pair" },
  each.corpus !== null && clipVideo(clipSource(each.corpus, each.id), t("play_clip", { id: each.id })),
  h("div", {},
    h("dl", { class: "sentences" },
      h("div", {}, h("dt", {}, t("reference")), h("dd", {}, each.reference)),
      ["a", "b"].map((side) => h("div", {}, h("dt", {}, side.toUpperCase(), ` ${number(each[`chrf_${side}`], 0)}`),
        h("dd", { class: "strong" }, marked(each[`${side}_hypothesis_words`], "extra"))))),
    h("p", { class: "quiet small chips" },
      h("span", { class: `chip ${each.chrf_b > each.chrf_a ? "good" : each.chrf_b < each.chrf_a ? "warn" : ""}` }, `chrF ${signed(each.chrf_b - each.chrf_a)}`),
      h("span", {}, each.id))));
