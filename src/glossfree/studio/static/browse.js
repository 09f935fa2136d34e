// The clips of a prepared corpus: search, filter, play, translate.

import { get } from "./api.js";
import { h, searchField, select } from "./dom.js";
import { clipSource, clipVideo, emptyState, heading, pages } from "./parts.js";
import { number, t } from "./texts.js";

const PAGE = 24;
const MOST_PROBLEMS = 100;

export function showBrowse(root, studio) {
  const title = heading(t("corpus"), t("corpus_lead"));
  if (!studio.corpora.length) {
    root.append(...title, emptyState(t("no_corpora"), t("no_corpora_remedy"), "glossfree studio MODEL --corpus FOLDER"));
    return;
  }
  const filter = { corpus: studio.corpora[0].id, split: "", query: "" };
  const controls = h("div", { class: "controls", role: "search" });
  const count = h("p", { class: "quiet", role: "status" });
  const bad = h("details", { class: "notice hints", hidden: true });
  const list = h("ul", { class: "grid" }), more = h("div", { class: "more" });
  root.append(...title, controls, count, bad, list, more);
  let turn = 0;

  function draw() {
    const corpus = studio.corpora.find((each) => String(each.id) === String(filter.corpus));
    const splits = Object.entries(corpus.splits).map(([name, clips]) => [name, `${t(`split_${name}`)} (${number(clips, 0)})`]);
    controls.replaceChildren(
      ...(studio.corpora.length > 1 ? [select(t("corpus"), studio.corpora.map((each) => [each.id, each.name]), filter.corpus,
        (id) => { Object.assign(filter, { corpus: id, split: "" }); draw(); })] : []),
      select(t("split_label"), [["", t("all")], ...splits], filter.split, (split) => { filter.split = split; load(); }),
      searchField(t("search"), (query) => { filter.query = query; load(); }));
    load();
  }

  function load() {
    const mine = ++turn;
    list.replaceChildren();
    pages(list, more, async (offset) => {
      const query = new URLSearchParams({ split: filter.split, query: filter.query, offset, limit: PAGE });
      const { total, clips } = await get(`/v1/corpora/${filter.corpus}/clips?${query}`);
      if (mine !== turn) return { total: 1, items: [] };
      const { problems } = studio.corpora[filter.corpus];
      count.textContent = t("clips", { count: number(total, 0) });
      bad.hidden = !problems.length;
      bad.replaceChildren(h("summary", {}, t("clip_problems", { count: number(problems.length, 0) })),
        h("ul", {}, problems.slice(0, MOST_PROBLEMS).map((problem) => h("li", {}, problem))));
      return { total, items: clips };
    }, (clip) => card(filter.corpus, clip));
  }

  const card = (corpus, clip) => h("li", { class: "card clip" },
    clipVideo(clipSource(corpus, clip.id), t("play_clip", { id: clip.id })),
    h("p", { class: "text", lang: studio.corpora[corpus].language }, clip.text),
    clip.pseudo_glosses.length > 0 && h("p", { class: "chips" }, [...new Set(clip.pseudo_glosses)].map((name) => h("span", { class: "chip" }, name))),
    h("p", { class: "quiet small" }, [t(`split_${clip.split}`), clip.signer, `${number(clip.seconds)} s`, clip.id].filter(Boolean).join(" · ")),
    h("a", { class: "button small", href: `#translate/${corpus}/${encodeURIComponent(clip.id)}` }, t("translate_clip")));

  draw();
}
