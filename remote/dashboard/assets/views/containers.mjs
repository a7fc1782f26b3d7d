// Containers, and the cards that they have.
import { html } from "../html.mjs";
import { get, list, useHost } from "../host.mjs";
import { bytes, Moment, Panel, State, Table, Trouble } from "../show.mjs";

export function Containers() {
  const { data, error } = useHost(() => list("/v1/containers"), 1);
  return html`<${Trouble} error=${error} /><${ContainerTable} containers=${data} apps=${true} /><${Cards} />`;
}

/** The host's cards, and who has them. */
function Cards() {
  const { data, error } = useHost(() => get("/v1/gpus"), 2);
  const cards = data && (data.cards || []);
  const kind = data && data.emulated ? "emulated cards" : "cards";
  const none = data && !data.provider ? "The host has no cards." : data && !data.stock ? `No card is in use; there are as many ${kind} as are asked for.` : "The host has no cards.";
  return html`<${Trouble} error=${error} /><${Panel} title="GPUs">
    <${Table} rows=${cards} none=${none} columns=${[
      ["Card", (g) => html`<span title=${g.uuid}>${g.device || g.card}</span>`],
      ["Memory", (g) => html`${bytes(g.used)} <span class="dim">of ${bytes(g.memory)}</span>`, "number"],
      ["Load", (g) => `${g.load} %`, "number"],
      ["Power", (g) => `${Math.round(g.power)} W`, "number"],
      ["Heat", (g) => `${g.heat} °C`, "number"],
      ["Has it", (g) => (g.lost ? html`<span class="trouble">lost</span>` : g.container ? html`${g.app_name} / ${g.function} <code>${g.container}</code>` : html`<span class="dim">nobody</span>`)],
    ]} />
    ${((data && data.waiting) || []).map((w) => html`<p>${w.function}: ${w.inputs} inputs wait for ${w.for}</p>`)}
  <//>`;
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
    ["GPU", (c) => (c.gpu ? html`${c.gpu}${c.gpus > 1 ? ` × ${c.gpus}` : ""} <span class="dim">${bytes(c.gpu_used)} of ${bytes(c.gpu_memory)}</span>` : "")],
  ];
  if (apps) columns.splice(1, 0, ["App", (c) => html`<a href="#/app/${encodeURIComponent(c.app)}/containers">${c.app_name || c.app}</a>`]);
  return html`<${Panel} title="Containers"><${Table} rows=${containers} none="No container runs." columns=${columns} /><//>`;
}
