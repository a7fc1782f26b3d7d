// Containers, and the cards that they have.
import { html } from "../html.mjs";
import { get, useHost } from "../host.mjs";
import { bytes, Moment, Panel, State, Table, Trouble } from "../show.mjs";

export function Containers() {
  const { data, error } = useHost(() => get("/v1/containers"), 1);
  return html`<${Trouble} error=${error} /><${ContainerTable} containers=${data} apps=${true} />`;
}

export function ContainerTable({ containers, apps }) {
  const columns = [
    ["Container", (c) => html`<code>${c.id}</code>`],
    ["Function", (c) => c.function],
    ["State", (c) => html`<${State} name=${c.state} />`],
    ["Since", (c) => html`<${Moment} at=${c.started} />`],
    ["Inputs", (c) => c.running, "number"],
    ["CPU", (c) => `${c.cpu.toFixed(1)} s`, "number"],
    ["Memory", (c) => bytes(c.memory), "number"],
    ["GPU", (c) => (c.gpu ? html`${c.gpu}${c.gpu_memory ? html` <span class="dim">${bytes(c.gpu_memory)}</span>` : ""}` : "")],
  ];
  if (apps) columns.splice(1, 0, ["App", (c) => html`<a href="#/app/${encodeURIComponent(c.app)}/containers">${c.app_name || c.app}</a>`]);
  return html`<${Panel} title="Containers"><${Table} rows=${containers} none="No container runs." columns=${columns} /><//>`;
}
