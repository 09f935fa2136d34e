// Record with the webcam: a live picture with checks of light, distance and frame rate, then start, stop, retake.

import { h } from "./dom.js";
import { heading, problem } from "./parts.js";
import { number, t } from "./texts.js";
import { replace } from "./translate.js";

const LONGEST = 30; // seconds of a recording
const COUNTDOWN = 3; // seconds
const GRID = [48, 36]; // pixels in which light and motion are measured
const DARK = 55, BRIGHT = 215; // mean brightness, 0 to 255
const MOVED = 22; // difference of brightness between two pictures, of a pixel that moved
const SMALL = 0.3, LARGE = 0.97; // share of the picture's height in which something moved
const SLOW = 12; // frames a second; fast signing blurs below
const TYPES = ["video/webm;codecs=vp8", "video/webm", "video/mp4"];

export async function showCamera(page, showStart, translateFile) {
  replace(page, heading(t("camera"), t("camera_ask")));
  let stream;
  try {
    const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
    stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch {
    showStart(page, problem(t("camera_denied"), t("camera_denied_remedy")));
    return;
  }
  if (page.signal.aborted) {
    stream.getTracks().forEach((track) => track.stop());
    return;
  }
  liveView(page, stream, showStart, translateFile);
}

function liveView(page, stream, showStart, translateFile) {
  const video = h("video", { class: "mirror", playsinline: true, autoplay: true, "aria-label": t("camera") });
  video.muted = true;
  video.srcObject = stream;
  const checks = Object.fromEntries(["light", "size", "rate"].map((name) => [name, h("dd", {}, t("measuring"))]));
  const status = h("p", { role: "status", class: "recording" });
  const button = h("button", { type: "button", class: "primary" }, t("record"));
  let timer = 0, recorder = null, isLeft = false;
  const end = () => {
    isLeft = true;
    clearInterval(timer);
    stopMeasuring();
    if (recorder?.state === "recording") recorder.stop();
    stream.getTracks().forEach((track) => track.stop());
  };
  replace(page, heading(t("camera"), t("camera_lead")), h("section", { class: "card camera" },
    h("div", { class: "viewfinder" }, video, h("div", { class: "guide", "aria-hidden": "true" })),
    h("div", { class: "camera-side" },
      h("dl", { class: "checks" }, Object.entries(checks).map(([name, value]) => h("div", {}, h("dt", {}, t(name)), value))),
      status, h("div", { class: "buttons" }, button,
        h("button", { type: "button", class: "plain", onclick: () => showStart(page) }, t("back"))))));
  page.stop = end;
  const stopMeasuring = measure(video, (name, verdict, values) => {
    checks[name].textContent = t(`${name}_${verdict}`, values);
    checks[name].className = verdict === "good" ? "good" : verdict === "still" ? "" : "bad";
  });

  const start = () => {
    const chunks = [], begun = performance.now();
    recorder = new MediaRecorder(stream, { mimeType: TYPES.find((type) => MediaRecorder.isTypeSupported(type)) });
    recorder.ondataavailable = (event) => chunks.push(event.data);
    recorder.onstop = () => {
      if (isLeft) return;
      const type = recorder.mimeType.split(";")[0];
      const file = new File(chunks, `webcam.${type === "video/mp4" ? "mp4" : "webm"}`, { type });
      showTake(page, file, showStart, translateFile);
    };
    recorder.start();
    button.textContent = t("stop");
    button.onclick = () => recorder.stop();
    timer = setInterval(() => {
      const seconds = (performance.now() - begun) / 1000;
      status.textContent = t("recording", { time: `${number(seconds, 0)} s` });
      if (seconds >= LONGEST) recorder.stop();
    }, 500);
  };
  button.onclick = () => {
    let count = COUNTDOWN;
    button.textContent = t("stop");
    button.onclick = () => { clearInterval(timer); showCamera(page, showStart, translateFile); };
    const tick = () => {
      if (count === 0) { clearInterval(timer); start(); return; }
      status.textContent = t("get_ready", { count: count-- });
    };
    tick();
    timer = setInterval(tick, 1000);
  };
  button.focus();
}

function showTake(page, file, showStart, translateFile) {
  const url = URL.createObjectURL(file);
  const video = h("video", { controls: true, loop: true, playsinline: true, autoplay: true, src: url, "aria-label": t("take") });
  video.muted = true;
  const use = h("button", { type: "button", class: "primary", onclick: () => translateFile(page, file) }, t("use_take"));
  replace(page, heading(t("take")), h("section", { class: "card camera" },
    h("div", { class: "viewfinder" }, video),
    h("div", { class: "camera-side" }, h("div", { class: "buttons" }, use,
      h("button", { type: "button", onclick: () => showCamera(page, showStart, translateFile) }, t("retake")),
      h("button", { type: "button", class: "plain", onclick: () => showStart(page) }, t("back"))))));
  page.stop = () => URL.revokeObjectURL(url);
  use.focus();
}

/** Report "light", "size" and "rate" of a live picture about twice a second -> a function that ends it. */
function measure(video, report) {
  const canvas = h("canvas", { width: GRID[0], height: GRID[1] });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const moved = new Float32Array(GRID[1]); // of each row: how lately something moved in it
  let before = null, frames = 0, since = performance.now(), isOver = false;
  const count = () => { frames += 1; if (!isOver) video.requestVideoFrameCallback(count); };
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(count);
  const look = () => {
    if (video.readyState < 2) return;
    context.drawImage(video, 0, 0, ...GRID);
    const pixels = context.getImageData(0, 0, ...GRID).data;
    const grey = Float32Array.from({ length: GRID[0] * GRID[1] }, (_, place) =>
      0.3 * pixels[4 * place] + 0.59 * pixels[4 * place + 1] + 0.11 * pixels[4 * place + 2]);
    const mean = grey.reduce((sum, value) => sum + value, 0) / grey.length;
    report("light", mean < DARK ? "dark" : mean > BRIGHT ? "bright" : "good");
    moved.forEach((value, row) => { moved[row] = 0.92 * value; });
    if (before) grey.forEach((value, place) => { if (Math.abs(value - before[place]) > MOVED) moved[Math.floor(place / GRID[0])] = 1; });
    before = grey;
    const rows = [...moved.keys()].filter((row) => moved[row] > 0.2);
    const height = rows.length ? (rows.at(-1) - rows[0] + 1) / GRID[1] : 0;
    report("size", height === 0 ? "still" : height < SMALL ? "small" : height > LARGE ? "large" : "good");
    const seconds = (performance.now() - since) / 1000;
    if (seconds > 1 && video.requestVideoFrameCallback) {
      const rate = frames / seconds;
      report("rate", rate < SLOW ? "low" : "good", { rate: number(rate, 0) });
      [frames, since] = [0, performance.now()];
    }
  };
  const timer = setInterval(look, 250);
  return () => { isOver = true; clearInterval(timer); };
}
