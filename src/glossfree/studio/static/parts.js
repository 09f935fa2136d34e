// Parts that several views share.

import { h } from "./dom.js";
import { explained, kindly, t } from "./texts.js";

/** A problem and its remedy, announced to screen readers. */
export const problem = (title, remedy, ...more) =>
  h("div", { class: "notice problem", role: "alert" }, h("strong", {}, title), remedy && h("p", {}, remedy), ...more);

/** What an ApiError says. */
export function failure(error, name) {
  const text = explained({ problem: error.problem ?? error.message, remedy: error.remedy });
  return problem(name ? `${name}: ${text.problem}` : text.problem, text.remedy);
}

/** A view without anything to show, and the command that changes that. */
export const emptyState = (title, remedy, command) =>
  h("div", { class: "notice empty" }, h("strong", {}, title), h("p", {}, remedy), command && h("pre", { tabindex: 0 }, command));

export const hints = (warnings) => warnings.length > 0 && h("aside", { class: "notice hints", "aria-label": t("hints") },
  h("strong", {}, t("hints")), h("ul", {}, kindly(warnings).map((each) => h("li", {}, each))));

export const heading = (title, lead) => [h("h1", {}, title), lead && h("p", { class: "lead" }, lead)];

/** A number and what it means. */
export const tile = (value, meaning) => h("div", { class: "tile" }, h("b", {}, value), h("span", {}, meaning));

/** The words of a sentence; those without a match in the other one are marked. */
export const marked = (words, kind) => words.length
  ? words.flatMap(([word, matches], place) => [place ? " " : "", matches ? word : h("mark", { class: kind }, word)])
  : h("span", { class: "quiet" }, "–");

/** A muted, looping video that loads when it comes near the screen. */
export function lazyVideo(source) {
  const video = h("video", { loop: true, playsinline: true, preload: "none", tabindex: -1, "aria-hidden": "true" });
  video.muted = true;
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    observer.disconnect();
    video.preload = "metadata";
    video.src = `${source}#t=0.5`;
  }, { rootMargin: "200px" });
  observer.observe(video);
  return video;
}

/** A clip as a button that plays and pauses it. */
export function clipVideo(source, label) {
  const video = lazyVideo(source);
  const player = h("button", {
    type: "button", class: "player", "aria-label": label, "aria-pressed": "false",
    onclick: () => (video.paused ? video.play().catch(() => {}) : video.pause()),
  }, video);
  for (const [kind, isPlaying] of [["play", "true"], ["pause", "false"]])
    video.addEventListener(kind, () => player.setAttribute("aria-pressed", isPlaying));
  return player;
}

export const clipSource = (corpus, id) => `/v1/corpora/${corpus}/clips/${encodeURIComponent(id)}/video`;

/** Pages of items: `load(offset)` resolves to {total, items}; `draw(item)` is an element. */
export async function pages(list, more, load, draw) {
  let shown = 0;
  async function next() {
    more.replaceChildren(h("p", { class: "quiet", role: "status" }, "…"));
    try {
      const { total, items } = await load(shown);
      list.append(...items.map(draw));
      shown += items.length;
      more.replaceChildren(...(total === 0 ? [h("p", { class: "quiet" }, t("none_found"))]
        : shown < total ? [h("button", { type: "button", onclick: next }, t("more"))] : []));
    } catch (error) {
      more.replaceChildren(failure(error));
    }
  }
  await next();
}
