// Choose a video (drop, file, example, webcam), follow its translation, show the result.

import { get, remove, upload } from "./api.js";
import { showCamera } from "./camera.js";
import { h } from "./dom.js";
import { clipSource, failure, heading, hints, lazyVideo, problem } from "./parts.js";
import { showResult } from "./result.js";
import { number, t } from "./texts.js";

const POLL = 400; // ms
const NUM_EXAMPLES = 4;
const N_BEST = 5;
const CUT_ABOVE = 2; // times the longest clip of training: longer videos are cut into pieces

/** The view: of a translation `id`, of a clip (`id` is the number of its corpus), or of the choice of a video. */
export function showTranslate(root, studio, id, clip) {
  const aborted = new AbortController();
  const page = { root, studio, signal: aborted.signal, stop: () => {} };
  if (clip) translateClip(page, id, clip);
  else if (id) follow(page, id, {});
  else showStart(page);
  return () => { aborted.abort(); page.stop(); };
}

/** Replace what is shown; whatever ran there (a camera, a playhead) ends. */
export function replace(page, ...children) {
  page.stop();
  page.stop = () => {};
  page.root.replaceChildren(...children.flat().filter(Boolean));
}

function showStart(page, ...notices) {
  const { studio } = page;
  const input = h("input", {
    type: "file", accept: "video/*,.mkv,.avi,.ts,.mts,.m2ts", hidden: true, id: "file", "aria-label": t("choose"),
    onchange: () => input.files[0] && translateFile(page, input.files[0]),
  });
  const zone = h("section", { class: "drop", "aria-label": t("drop") },
    h("p", { class: "drop-title" }, t("drop")),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "primary", onclick: () => input.click() }, t("choose")),
      h("button", { type: "button", onclick: () => showCamera(page, showStart, translateFile) }, t("use_camera"))),
    h("p", { class: "quiet" }, t("drop_or")), input);
  for (const [kind, isOver] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]])
    zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.toggle("over", isOver); });
  zone.addEventListener("drop", (event) => event.dataTransfer.files[0] && translateFile(page, event.dataTransfer.files[0]));
  const examples = h("section", { class: "examples", hidden: true });
  replace(page, heading(t("headline"), t("lead")), notices, zone, examples);
  if (studio.corpora.length) showExamples(page, examples);
}

async function showExamples(page, section) {
  const corpus = page.studio.corpora.find((each) => each.splits.test) ?? page.studio.corpora[0];
  const split = corpus.splits.test ? "test" : Object.keys(corpus.splits)[0];
  const { clips } = await get(`/v1/corpora/${corpus.id}/clips?split=${split}&limit=${NUM_EXAMPLES}`).catch(() => ({ clips: [] }));
  if (!clips.length) return;
  section.hidden = false;
  section.append(h("h2", {}, t("examples")), h("ul", { class: "grid" }, clips.map((clip) => {
    const video = lazyVideo(clipSource(corpus.id, clip.id));
    return h("li", {}, h("button", {
      type: "button", class: "example", "aria-label": t("example_play", { text: clip.text }),
      onmouseenter: () => video.play().catch(() => {}), onmouseleave: () => video.pause(),
      onclick: () => translateClip(page, corpus.id, clip.id),
    }, video, h("span", { lang: corpus.language }, clip.text)));
  })));
}

/** A clip of a corpus -> its translation. */
async function translateClip(page, corpus, id) {
  try {
    const content = await (await fetch(clipSource(corpus, id))).blob();
    await translateFile(page, new File([content], `${id}.mp4`, { type: "video/mp4" }));
  } catch (error) {
    showStart(page, failure(error));
  }
}

async function translateFile(page, file) {
  if (!page.studio.models.length) {
    showProgress(page, file.name, () => showStart(page))(t("no_model"), 0);
    await page.studio.ready;
    if (page.signal.aborted || !page.root.querySelector(".working")) return;
  }
  const limit = page.studio.models[0]?.limits?.upload_bytes;
  if (file.type && !/^(video\/|application\/octet-stream|image\/gif)/.test(file.type)) {
    showStart(page, problem(t("not_video", { name: file.name }), t("not_video_remedy")));
    return;
  }
  if (limit && file.size > limit) {
    const sizes = { size: number(file.size / 1e6, 0), limit: number(limit / 1e6, 0) };
    showStart(page, problem(t("too_large_by", sizes), t("too_large_remedy")));
    return;
  }
  const sending = new AbortController();
  const progress = showProgress(page, file.name, () => { sending.abort(); showStart(page); });
  page.signal.addEventListener("abort", () => sending.abort());
  try {
    const cut = await pieces(page, file);
    const fields = { n_best: N_BEST, ...(cut && { window: cut.window }) };
    const { id } = await upload("/v1/translations", file, fields, (share) => progress(t("sending"), share / 4), sending.signal);
    history.replaceState(null, "", `#translate/${id}`);
    await follow(page, id, { cut, progress });
  } catch (error) {
    if (error.name !== "AbortError") showStart(page, failure(error));
  }
}

/** How a long video is cut: {seconds, longest, window}; null for a short one, or one that the browser cannot read. */
async function pieces(page, file) {
  const [, median, longest] = page.studio.models[0]?.training?.seconds ?? [];
  if (!longest) return null;
  const video = h("video", { preload: "metadata" });
  const seconds = await new Promise((resolve) => {
    video.onloadedmetadata = () => resolve(video.duration);
    video.onerror = () => resolve(0);
    setTimeout(resolve, 3000, 0);
    video.src = URL.createObjectURL(file);
  });
  URL.revokeObjectURL(video.src);
  return Number.isFinite(seconds) && seconds > CUT_ABOVE * longest ? { seconds, longest, window: Math.max(1, median) } : null;
}

function showProgress(page, name, oncancel) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": t("translate") });
  const step = h("p", { role: "status" }, t("sending"));
  replace(page, heading(t("translate")), h("section", { class: "card working" },
    h("p", { class: "file" }, name), bar, step,
    h("button", { type: "button", class: "plain", onclick: oncancel }, t("cancel"))));
  return (text, share) => {
    if (step.textContent !== text) step.textContent = text;
    bar.value = Math.max(bar.value, share);
  };
}

/** Poll a translation until it ends, then show it. `notes`: hints from before the upload. */
export async function follow(page, id, { cut = null, progress = null }) {
  const path = `/v1/translations/${id}`;
  const cancel = () => { remove(path).catch(() => {}); location.hash = "#translate"; };
  let show = progress;
  try {
    let translation = await get(path);
    show ??= ["queued", "running"].includes(translation.state) ? showProgress(page, translation.file, cancel) : null;
    page.root.querySelector(".working button")?.addEventListener("click", cancel);
    while (["queued", "running"].includes(translation.state)) {
      show(describe(translation), 0.25 + 0.75 * translation.progress);
      await new Promise((resolve) => setTimeout(resolve, POLL));
      if (page.signal.aborted) return;
      translation = await get(path);
    }
    if (page.signal.aborted) return;
    if (translation.state === "done") {
      const note = cut && t("note_cut", { a: number(cut.seconds, 0), b: number(cut.longest, 1) });
      showResult(page, translation, note ? [note] : []);
    } else if (translation.state === "cancelled") showStart(page, h("p", { class: "notice" }, t("cancelled")));
    else showFailed(page, translation);
  } catch (error) {
    if (!page.signal.aborted) showFailed(page, { file: "", warnings: [], error: { problem: error.message, ...error } });
  }
}

function describe({ state, queue_position: before, step }) {
  if (state === "queued") return before ? t("queued_behind", { count: before }) : t("queued");
  return step === "translating" ? t("running") : t("sending");
}

function showFailed(page, { file, warnings, error }) {
  history.replaceState(null, "", "#translate");
  showStart(page, failure(error ?? { problem: t("sorry") }, file), hints(warnings ?? []));
}
