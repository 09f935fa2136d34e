// A finished translation: player, sentence, other readings, timeline, segments, and what can be saved.

import { post } from "./api.js";
import { clamp, h } from "./dom.js";
import { failure, hints } from "./parts.js";
import { segmentLane } from "./segments.js";
import { clock, explained, percent, t } from "./texts.js";
import { timelineOf } from "./timeline.js";
import { follow, replace } from "./translate.js";

const FORMATS = ["eaf", "vtt", "srt", "json", "svg", "png"];

export function showResult(page, translation, notes) {
  const path = `/v1/translations/${translation.id}`;
  const { segments, warnings } = translation;
  const spoken = (page.studio.models[0]?.language ?? "").slice(0, 2); // of the sentences, ISO 639-1
  const seconds = translation.video?.seconds || segments.at(-1).end;
  const fps = translation.video?.frames_per_second || 25;
  const video = h("video", {
    controls: true, playsinline: true, preload: "auto", src: `${path}/video`, "aria-label": t("player"),
  }, h("track", { kind: "captions", label: t("captions"), srclang: spoken, src: `${path}/export?format=vtt` }));
  video.muted = true;
  const sentence = h("div", { class: "sentence-box", "aria-live": "polite" });
  const lane = segmentLane({ segments, seconds, fps, now: () => video.currentTime, onselect, onretranslate });
  const timeline = timelineOf({ video, segments, seconds, fps, lane: lane.element, tools: lane.tools });
  const transcript = h("ol", { class: "transcript", "aria-label": t("transcript") });
  let shown = null;

  function onselect(segment) {
    timeline.seek(clamp(segment.start, 0, seconds));
  }

  async function onretranslate(parts) {
    try {
      await post(`${path}/segments`, parts);
      await follow(page, translation.id, {});
    } catch (error) {
      lane.tools.after(failure(error));
    }
  }

  /** Show the sentence of the segment under the playhead. */
  function update() {
    const now = video.currentTime;
    const segment = lane.current().findLast((each) => each.start <= now + 1e-3) ?? lane.current()[0];
    lane.mark(segment);
    if (segment === shown) return;
    shown = segment;
    drawTranscript();
    sentence.replaceChildren(...sentenceParts(segment, lane.current().length > 1 ? segment : null, spoken));
  }

  /** All sentences of a video in several segments, below its timeline. */
  function drawTranscript() {
    const parts = lane.current();
    transcript.hidden = parts.length < 2;
    transcript.replaceChildren(...parts.map((each) => h("li", { class: each === shown ? "current" : null },
      h("button", { type: "button", "aria-current": each === shown ? "true" : null, onclick: () => onselect(each) },
        h("span", {}, `${clock(each.start)} – ${clock(each.end)}`), h("span", { lang: spoken }, textOf(each))))));
  }

  lane.onchange = () => { shown = null; update(); };
  timeline.onmove = update;
  replace(page,
    h("div", { class: "result-head" }, h("h1", {}, t("result")), h("p", { class: "file" }, translation.file),
      h("div", { class: "buttons" }, saveMenu(path, translation.file),
        h("button", { type: "button", onclick: () => { location.hash = "#translate"; } }, t("again")))),
    h("div", { class: "result" },
      h("div", { class: "card screen" }, video),
      h("section", { class: "card", "aria-label": t("result") }, sentence, hints([...notes, ...(warnings ?? [])]))),
    timeline.element);
  timeline.element.append(transcript);
  page.stop = timeline.stop;
  update();
}

const textOf = (segment) =>
  segment.sentence || (segment.error ? explained(segment.error).problem : t(segment.isNew ? "segment_new" : "nothing"));

function sentenceParts(segment, part, lang) {
  if (!segment) return [];
  const [best, ...others] = segment.n_best ?? [];
  const copy = h("button", {
    type: "button", class: "plain small",
    onclick: async () => { await navigator.clipboard.writeText(segment.sentence); copy.textContent = t("copied"); },
  }, t("copy"));
  return [
    part && h("p", { class: "quiet" }, `${clock(part.start)} – ${clock(part.end)}`),
    h("p", { class: "sentence", lang: segment.sentence ? lang : null }, textOf(segment)),
    best && h("p", { class: "quiet confidence" }, meter(best), h("span", { title: t("confidence_help") }, ` ${percent(best.confidence)} ${t("confidence")}`), copy),
    best && h("p", { class: "quiet small help" }, t("confidence_help")),
    others.length > 0 && h("details", { open: true }, h("summary", {}, t("others")),
      h("ol", { class: "readings" }, others.map((each) =>
        h("li", {}, meter(each), h("span", { class: "share" }, percent(each.confidence)), h("span", { lang }, each.text || "–"))))),
  ].filter(Boolean);
}

const meter = ({ confidence }) =>
  h("meter", { min: 0, max: 1, value: confidence, "aria-label": `${percent(confidence)} ${t("confidence")}` });

function saveMenu(path, file) {
  const stem = file.replace(/\.[^.]*$/, "") || "translation";
  const menu = h("details", { class: "menu" }, h("summary", { class: "button primary" }, t("save")),
    h("ul", {}, FORMATS.map((form) => h("li", {}, h("a", {
      href: `${path}/export?format=${form}`, download: `${stem}.${form}`, onclick: () => { menu.open = false; },
    }, t(`save_${form}`))))));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.firstElementChild.focus();
  });
  menu.addEventListener("focusout", (event) => { if (!menu.contains(event.relatedTarget)) menu.open = false; });
  return menu;
}
