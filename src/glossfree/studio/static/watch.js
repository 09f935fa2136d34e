// A run while it trains: where it stands, how long it takes, and its losses over the steps.

import { get } from "./api.js";
import { h, select } from "./dom.js";
import { chart } from "./chart.js";
import { emptyState, failure, heading, tile } from "./parts.js";
import { duration, number, t } from "./texts.js";

const POLL = 3000; // ms, while it trains

export function showWatch(root, studio) {
  const title = heading(t("watch"), t("watch_lead"));
  if (!studio.runs.length) {
    root.append(...title, emptyState(t("no_runs"), t("no_runs_remedy"), "glossfree studio MODEL --run RUN"));
    return () => {};
  }
  const training = studio.runs.find((run) => run.state === "training");
  let chosen = (training ?? studio.runs[0]).id, timer = 0, isLeft = false;
  const body = h("div", {});
  const controls = h("div", { class: "controls" },
    select(t("run"), studio.runs.map((each) => [each.id, each.name]), chosen, (id) => { chosen = id; load(); }));
  root.append(...title, controls, body);

  async function load() {
    clearTimeout(timer);
    const asked = chosen;
    try {
      const run = await get(`/v1/runs/${asked}`);
      if (isLeft || asked !== chosen) return;
      body.replaceChildren(...progress(run), ...charts(run));
      if (run.state === "training") timer = setTimeout(load, POLL);
    } catch (error) {
      body.replaceChildren(failure(error));
    }
  }

  load();
  return () => { isLeft = true; clearTimeout(timer); };
}

function progress(run) {
  const known = ["training", "finished", "stopped", "failed"].includes(run.state);
  const tiles = [
    [known ? t(`state_${run.state}`) : run.state, run.problem ?? t("state")],
    run.stage && [run.stage, run.steps ? `${t("epoch_of", { now: run.epoch, all: run.epochs })}, ${t("step_of", { now: number(run.step, 0), all: number(run.steps, 0) })}` : t("stage")],
    run.speed && [number(run.speed, 0), t("speed", { unit: t(`unit_${run.unit}`) })],
    run.all_seconds_left !== null && [duration(run.all_seconds_left), t("time_left")],
    run.stage_seconds_left !== null && [duration(run.stage_seconds_left), t("stage_left")],
    [duration(run.elapsed_seconds), t("time_spent")],
    run.best_loss !== null && [number(run.best_loss, 3), t("best_loss", { epoch: run.best_epoch })],
  ].filter(Boolean);
  return [
    h("div", { class: "tiles", role: "status" }, tiles.map(([value, meaning]) => tile(value, meaning))),
    run.steps > 0 && h("progress", { max: run.steps, value: run.step, "aria-label": t("step_of", { now: run.step, all: run.steps }) }),
  ].filter(Boolean);
}

function charts({ curves, stage }) {
  const stages = Object.keys(curves).reverse().sort((a, b) => (b === stage) - (a === stage));
  return [
    stages.length > 0 && h("p", { class: "legend quiet" }, ["step", "train", "dev"].map((kind) =>
      h("span", {}, h("i", { class: `key ${kind}` }), t(`curve_${kind}`)))),
    ...stages.map((name) => h("section", { class: "stage" }, h("h2", {}, name),
      h("div", { class: "charts" }, Object.entries(curves[name]).map(([quantity, lines]) => chart(name, quantity, lines))))),
  ].filter(Boolean);
}
