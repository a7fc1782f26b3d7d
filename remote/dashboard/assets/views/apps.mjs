// All apps: deployed ones, and those that run.
import { html } from "../html.mjs";
import { ask, list, useHost } from "../host.mjs";
import { dollars, Moment, Panel, State, Table, Trouble } from "../show.mjs";

export const appPath = (a) => `#/app/${encodeURIComponent(a.id)}`;

export function Apps() {
  const { data: apps, error } = useHost(() => list("/v1/apps"), 2);
  const { data: bill } = useHost(() => ask("billing.report", { start: Date.now() / 1000 - 86400, by: ["app"] }), 30);
  const costs = new Map((bill ? bill.rows : []).map((row) => [row.app, row.cost]));
  return html`
    <${Trouble} error=${error} />
    <${Panel} title="Apps">
      <${Table} rows=${apps} none="No app runs, and none is deployed: gx deploy FILE makes one stay." columns=${[
        ["Name", (a) => html`<a href=${appPath(a)}>${a.environment && a.environment !== "main" ? `${a.environment}/` : ""}${a.name || "(without a name)"}</a>`],
        ["State", (a) => html`<${State} name=${a.state} />${a.error ? html` <span class="trouble">${a.error}</span>` : ""}`],
        ["Version", (a) => (a.version ? `v${a.version}${a.tag ? ` (${a.tag})` : ""}` : html`<span class="dim">with its session</span>`)],
        ["Since", (a) => html`<${Moment} at=${a.deployed || a.created} />`],
        ["Functions", (a) => (a.functions || []).length, "number"],
        ["Containers", (a) => a.containers, "number"],
        ["Cost, 24 h", (a) => dollars(costs.get(a.id)), "number"],
        ["Id", (a) => html`<code>${a.id}</code>`],
      ]} />
    <//>`;
}
