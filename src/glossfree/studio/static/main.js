// The frame of the page: header, language, light or dark, and the view that the address names.

import { get } from "./api.js";
import { h } from "./dom.js";
import { language, setLanguage, t } from "./texts.js";
import { showBrowse } from "./browse.js";
import { showCompare } from "./compare.js";
import { showPredictions } from "./predictions.js";
import { showTranslate } from "./translate.js";
import { showWatch } from "./watch.js";

const VIEWS = {
  translate: showTranslate, browse: showBrowse, predictions: showPredictions, compare: showCompare, watch: showWatch,
};
const THEMES = ["auto", "light", "dark"];
const studio = { models: [], corpora: [], runs: [], ready: null }; // `ready` resolves once the model is open
let leave = () => {};

/** "#translate/abc" -> ["translate", "abc"]; a view and what it shows */
function address() {
  const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  return name in VIEWS ? [name, ...rest] : ["translate"];
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function showHeader(current) {
  const theme = localStorage.getItem("theme") ?? "auto";
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  const other = language() === "de" ? "en" : "de";
  document.getElementById("top").replaceChildren(
    h("div", { class: "inner bar" },
      h("a", { class: "brand", href: "#translate" }, h("img", { src: "icon.svg", alt: "", width: 26, height: 26 }),
        h("span", {}, "glossfree ", h("b", {}, "studio"))),
      h("nav", { "aria-label": t("views") }, h("ul", {}, Object.keys(VIEWS).map((name) =>
        h("li", {}, h("a", { href: `#${name}`, "aria-current": name === current ? "page" : null }, t(name)))))),
      h("div", { class: "switches" },
        h("button", { type: "button", class: "plain", lang: other, onclick: () => { setLanguage(other); show(); } },
          other === "de" ? "Deutsch" : "English"),
        h("button", {
          type: "button", class: "plain", "aria-label": `${t("theme")}: ${t(`theme_${theme}`)}`, title: t("theme"),
          onclick: () => { localStorage.setItem("theme", next); applyTheme(next); showHeader(address()[0]); },
        }, { auto: "◐", light: "☀", dark: "☾" }[theme]))));
  document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
}

function showFooter() {
  const [model] = studio.models;
  const test = model?.scores?.["scores.test"] ?? model?.scores?.test;
  document.getElementById("foot").replaceChildren(h("div", { class: "inner" },
    model && h("p", {}, t("model_line", { name: model.name }),
      test?.bleu4 !== undefined && ` ${t("model_score", { bleu: test.bleu4.toFixed(1) })}`),
    h("p", {}, t("private"))));
}

function show() {
  leave();
  const [name, ...rest] = address();
  document.documentElement.lang = language();
  document.title = `${t(name)} · glossfree studio`;
  document.getElementById("skip").textContent = t("skip");
  showHeader(name);
  showFooter();
  const main = document.getElementById("main");
  const inner = h("div", { class: "inner view" });
  main.replaceChildren(inner);
  leave = VIEWS[name](inner, studio, ...rest) ?? (() => {});
}

async function start() {
  applyTheme(localStorage.getItem("theme") ?? "auto");
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address names the view
    document.getElementById("main").focus();
  });
  studio.ready = get("/v1/models").then((models) => { studio.models = models; showFooter(); }).catch(() => {});
  const lists = await Promise.allSettled(["/v1/corpora", "/v1/runs"].map(get));
  [studio.corpora, studio.runs] = lists.map((each) => each.value ?? []);
  addEventListener("hashchange", show);
  show();
}

start();
