// What a run wrote beside what was meant, sorted by score, with what goes wrong.

import { get } from "./api.js";
import { h, searchField, select } from "./dom.js";
import { clipSource, clipVideo, emptyState, failure, heading, marked, pages, tile } from "./parts.js";
import { number, t } from "./texts.js";

const PAGE = 24;
const SORTS = ["worst", "best", "order"];

export function showPredictions(root, studio) {
  const title = heading(t("predictions"), t("predictions_lead"));
  if (!studio.runs.length) {
    root.append(...title, emptyState(t("no_runs"), t("no_runs_remedy"), "glossfree studio MODEL --corpus FOLDER --run RUN"));
    return;
  }
  const filter = { run: (studio.runs.find((run) => run.splits.length) ?? studio.runs[0]).id, split: "", sort: "worst", query: "" };
  const controls = h("div", { class: "controls", role: "search" });
  const summary = h("div", {}), list = h("ul", { class: "pairs" }), more = h("div", { class: "more" });
  root.append(...title, controls, summary, list, more);
  let turn = 0;

  function draw() {
    const run = studio.runs.find((each) => String(each.id) === String(filter.run));
    filter.split = run.splits.includes(filter.split) ? filter.split : run.splits.includes("test") ? "test" : run.splits[0];
    const set = (name) => (value) => { filter[name] = value; load(); };
    controls.replaceChildren(
      select(t("run"), studio.runs.map((each) => [each.id, each.name]), filter.run, (id) => { filter.run = id; draw(); }),
      ...(run.splits.length ? [
        select(t("split_label"), run.splits.map((each) => [each, t(`split_${each}`)]), filter.split, set("split")),
        select(t("sort"), SORTS.map((each) => [each, t(`sort_${each}`)]), filter.sort, set("sort")),
        searchField(t("search_predictions"), set("query"))] : []));
    if (run.splits.length) load();
    else {
      summary.replaceChildren(emptyState(t("not_evaluated"), t("not_evaluated_remedy"), `glossfree evaluate ${run.name}`));
      list.replaceChildren();
      more.replaceChildren();
    }
  }

  function load() {
    const mine = ++turn;
    list.replaceChildren();
    pages(list, more, async (offset) => {
      const { split, sort, query } = filter;
      const answer = await get(`/v1/runs/${filter.run}/predictions?${new URLSearchParams({ split, sort, query, offset, limit: PAGE })}`);
      if (mine !== turn) return { total: 1, items: [] };
      if (offset === 0) summary.replaceChildren(...overview(answer, filter));
      return { total: answer.total, items: answer.predictions.map((each) => ({ ...each, corpus: answer.corpus })) };
    }, pairCard).catch((error) => more.replaceChildren(failure(error)));
  }

  draw();
}

function overview({ scores, corpus, total }, { run, split }) {
  return [
    scores && h("div", { class: "tiles" },
      tile(number(scores.bleu4), "BLEU-4"), tile(number(scores.rouge_l), "ROUGE-L"), tile(number(scores.chrf), "chrF"),
      tile(`${number(scores.exact, 0)} %`, t("exact_share")), tile(number(scores.num_sentences, 0), t("sentences", { count: "" }).trim())),
    corpus === null ? h("p", { class: "quiet" }, t("diagnosis_none")) : diagnosis(`/v1/runs/${run}/diagnosis?split=${split}`),
    h("p", { class: "quiet", role: "status" }, t("sentences", { count: number(total, 0) }), " · ", t("marks")),
  ].filter(Boolean);
}

const share = (value) => (value === null ? "–" : `${number(value, 0)} %`);
const words = (pairs) => t("commonest", { words: pairs.map(([word, count]) => `${word} (${count})`).join(", ") || "–" });

/** The error analysis, which takes seconds: computed when it is opened. */
function diagnosis(path) {
  const body = h("div", { role: "status" }, h("p", { class: "quiet" }, t("measuring")));
  return h("details", {
    class: "card diagnosis",
    ontoggle: async () => {
      if (body.dataset.asked) return;
      body.dataset.asked = "yes";
      body.replaceChildren(...await get(path).then(diagnosisOf, (error) => [failure(error)]));
    },
  }, h("summary", {}, t("diagnosis")), body);
}

function diagnosisOf({ support, copies, repeated_ngram: repeated, numbers, by_length, by_signer }) {
  const facts = [
    [share(support.unsupported), t("unsupported"), words(support.commonest_unsupported)],
    [share(support.omitted), t("omitted"), words(support.commonest_omitted)],
    [share(copies.hypotheses), t("copies", { reference: share(copies.references) })],
    [share(repeated.hypotheses), t("repeated")],
    numbers.in_references > 0 && [share((100 * numbers.right) / numbers.in_references), t("numbers_right")],
  ].filter(Boolean);
  return [
    h("dl", { class: "facts" }, facts.map(([value, meaning, more]) =>
      h("div", {}, h("dt", {}, value), h("dd", {}, meaning, more && h("span", { class: "quiet" }, ` – ${more}`))))),
    h("div", { class: "columns" }, groups(t("by_length"), by_length), groups(t("by_signer"), by_signer))];
}

const groups = (title, rows) => rows.length === 0 ? "" : h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": title },
  h("table", {}, h("caption", {}, title),
    h("thead", {}, h("tr", {}, [t("group"), t("sentences", { count: "" }).trim(), "BLEU-4", "ROUGE-L"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name), h("td", {}, row.num_sentences),
      h("td", {}, number(row.bleu4)), h("td", {}, number(row.rouge_l)))))));

function pairCard(each) {
  return h("li", { class: "card pair" },
    each.corpus !== null && clipVideo(clipSource(each.corpus, each.id), t("play_clip", { id: each.id })),
    h("div", {},
      h("dl", { class: "sentences" },
        h("div", {}, h("dt", {}, t("hypothesis")), h("dd", { class: "strong" }, marked(each.hypothesis_words, "extra"))),
        h("div", {}, h("dt", {}, t("reference")), h("dd", {}, marked(each.reference_words, "missed")))),
      h("p", { class: "quiet small chips" }, h("span", { class: "chip" }, `chrF ${number(each.chrf, 0)}`),
        each.findings.map((name) => h("span", { class: `chip ${name === "exact" ? "good" : "warn"}` }, t(`finding_${name}`))),
        h("span", {}, each.id))));
}
