// One app, by tabs: its functions, containers, log, versions, cost.
import { useState } from "preact/hooks";
import { html } from "../html.mjs";
import { ask, list, request, useHost } from "../host.mjs";
import { dollars, Moment, Panel, State, Table, Trouble } from "../show.mjs";
import { ContainerTable } from "./containers.mjs";
import { Functions } from "./functions.mjs";
import { Log } from "./log.mjs";
import { Versions } from "./versions.mjs";

const tabs = [
  ["functions", "Functions"],
  ["containers", "Containers"],
  ["log", "Log"],
  ["versions", "Versions"],
  ["cost", "Cost"],
];

export function App({ id, tab, rest }) {
  const { data: apps, error, again } = useHost(() => list("/v1/apps"), 2, [id]);
  const [failed, fail] = useState(null);
  const app = apps && apps.find((a) => a.id === id);
  const stop = async () => {
    if (!confirm(`Stop ${app.name}? Its calls are cancelled, its containers end.`)) return;
    fail(null);
    try {
      await request("DELETE", `/v1/apps/${encodeURIComponent(id)}`);
    } catch (e) {
      fail(e);
    }
    again();
  };
  const path = `#/app/${encodeURIComponent(id)}`;
  return html`
    <${Trouble} error=${error || failed} />
    <header class="title">
      <h1>${app ? app.name : id}</h1>
      ${app && html`<${State} name=${app.state} />`}
      ${app && app.version ? html`<span>v${app.version}</span>` : ""}
      ${app && html`<span class="dim">since <${Moment} at=${app.deployed || app.created} /></span>`}
      ${app && app.state !== "stopped" && html`<button class="danger" onClick=${stop}>Stop</button>`}
    </header>
    ${apps && !app && html`<p class="dim">The app has ended. Its log and its cost are kept.</p>`}
    <div class="tabs" role="tablist">${tabs.map(([name, title]) => html`<a role="tab" href="${path}/${name}" aria-selected=${name === tab}>${title}</a>`)}</div>
    ${tab === "functions" && app && html`<${Functions} app=${app} chosen=${rest[0]} />`}
    ${tab === "containers" && html`<${ContainersOf} id=${id} />`}
    ${tab === "log" && html`<${Log} app=${id} functions=${app ? app.functions : []} />`}
    ${tab === "versions" && html`<${Versions} app=${app} id=${id} changed=${again} />`}
    ${tab === "cost" && html`<${CostOf} id=${id} />`}`;
}

function ContainersOf({ id }) {
  const { data, error } = useHost(() => list("/v1/containers"), 1, [id]);
  return html`<${Trouble} error=${error} /><${ContainerTable} containers=${data && data.filter((c) => c.app === id)} />`;
}

function CostOf({ id }) {
  const { data, error } = useHost(() => ask("billing.report", { step: "d", by: ["function", "gpu"] }), 30, [id]);
  return html`<${Trouble} error=${error} /><${Panel} title="Cost by day"><${Table}
    rows=${data && data.rows.filter((row) => row.app === id)} none="It has used nothing yet." columns=${[
      ["Day (UTC)", (r) => r.start.slice(0, 10)],
      ["Function", (r) => r.function],
      ["GPU", (r) => (r.gpu ? `${r.gpu}${r.gpus > 1 ? ` × ${r.gpus}` : ""}${r.emulated ? " (emulated)" : ""}` : "none")],
      ["Containers", (r) => r.containers, "number"],
      ["Inputs", (r) => r.inputs, "number"],
      ["Failed", (r) => r.failed, "number"],
      ["Seconds", (r) => r.seconds.toFixed(1), "number"],
      ["Cost", (r) => dollars(r.cost), "number"],
    ]} /><//>`;
}
