"use strict";
// A playhead moves over each timeline while its clip plays; the timeline seeks; the clips can be searched.
for (const card of document.querySelectorAll(".card")) {
  const video = card.querySelector("video"), slider = card.querySelector(".playhead");
  if (!video || !slider) continue;
  const frames = Number(slider.dataset.frames), fps = Number(slider.dataset.fps);
  const line = slider.querySelector(".line"), readout = card.querySelector(".readout");
  const bars = [...card.querySelectorAll(".bar")];
  const rows = [...card.querySelectorAll("tr.heat")].map((row) => ({
    row, name: row.dataset.name,
    edges: row.dataset.edges.split(" ").map(Number), values: row.dataset.values.split(" ").map(Number),
  }));
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
  const frameAt = (x) => {
    const box = slider.getBoundingClientRect();
    return clamp((x - box.left) / box.width, 0, 1) * frames;
  };
  const show = () => {
    const at = clamp(video.currentTime * fps, 0, frames), frame = Math.min(frames - 1, Math.floor(at + 0.01));
    line.style.left = (100 * at) / frames + "%";
    slider.setAttribute("aria-valuenow", frame);
    slider.setAttribute("aria-valuetext", `frame ${frame}, ${(frame / fps).toFixed(2)} seconds`);
  };
  // The middle of a frame: a rounded time never shows its neighbour.
  const seek = (frame) => { video.currentTime = (clamp(Math.floor(frame), 0, frames - 1) + 0.5) / fps; show(); };
  const follow = () => { show(); if (!video.paused && !video.ended) requestAnimationFrame(follow); };
  const toggle = () => (video.paused ? video.play() : video.pause());
  const button = card.querySelector(".play"), id = slider.getAttribute("aria-label").replace("position in ", "");
  const label = () => {
    card.classList.toggle("playing", !video.paused);
    button.textContent = video.paused ? "Play" : "Pause";
    button.setAttribute("aria-label", `${button.textContent} ${id}`);
  };
  const tell = (event) => {
    const at = frameAt(event.clientX), frame = Math.min(frames - 1, Math.floor(at));
    const parts = [`${(at / fps).toFixed(2)} s`, `frame ${frame}`];
    const bar = bars.find((bar) => frame >= Number(bar.dataset.start) && frame < Number(bar.dataset.end));
    if (bar) parts.push(`sign ${bar.dataset.gloss}`);
    const under = rows.find(({ row }) => {
      const box = row.getBoundingClientRect();
      return event.clientY >= box.top && event.clientY < box.bottom;
    });
    if (under) {
      const segment = under.edges.findIndex((edge, i) => at < under.edges[i + 1]);
      parts.push(`${under.name} ${(under.values[segment] ?? under.values.at(-1)).toPrecision(2)}`);
    }
    readout.textContent = parts.join(" · ");
  };
  card.classList.add("ready");
  // The browser's own controls would cover the hands; the button and the timeline do their work.
  video.controls = false;
  button.hidden = false;
  button.addEventListener("click", toggle);
  video.addEventListener("click", toggle);
  video.addEventListener("play", label);
  video.addEventListener("pause", label);
  video.addEventListener("play", follow);
  for (const name of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(name, show);
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    seek(frameAt(event.clientX));
  });
  slider.addEventListener("pointermove", (event) => { tell(event); if (event.buttons & 1) seek(frameAt(event.clientX)); });
  slider.addEventListener("pointerleave", () => { readout.textContent = ""; });
  slider.addEventListener("keydown", (event) => {
    const now = Math.floor(video.currentTime * fps + 0.01);
    const moves = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now + 10, PageDown: now - 10, Home: 0, End: frames - 1 };
    if (event.key in moves) { video.pause(); seek(moves[event.key]); }
    else if (event.key === " " || event.key === "Enter") toggle();
    else return;
    event.preventDefault();
  });
  show();
}

const controls = document.querySelector(".controls");
if (controls) {
  const find = document.getElementById("find"), which = document.getElementById("which");
  const cards = [...document.querySelectorAll(".card")];
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const fits = words.every((word) => card.dataset.text.includes(word)) && (!which.value || card.dataset.exact === which.value);
      card.hidden = !fits;
      if (fits) count++;
      else card.querySelector("video")?.pause();
    }
    const more = document.getElementById("more");
    if (more && (words.length || which.value)) more.open = true;
    document.getElementById("found").textContent = `${count} of ${cards.length} clips`;
  };
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", filter);
  which.addEventListener("change", filter);
  document.getElementById("speed").addEventListener("change", (event) => {
    for (const video of document.querySelectorAll("video")) video.playbackRate = Number(event.target.value);
  });
  filter();
}
