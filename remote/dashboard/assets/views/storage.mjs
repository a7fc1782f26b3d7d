// What the host keeps under names. Values of secrets are never sent to anybody.
import { useState } from "preact/hooks";
import { html } from "../html.mjs";
import { ask, useHost } from "../host.mjs";
import { bytes, Moment, Panel, Table, Trouble } from "../show.mjs";

const kinds = [
  ["volume", "Volumes", "gx volume create NAME"],
  ["secret", "Secrets", "gx secret create NAME KEY=VALUE"],
  ["dict", "Dicts", "gx dict create NAME"],
  ["queue", "Queues", "gx queue create NAME"],
];

export function Storage() {
  const { data, error } = useHost(() => ask("environment.list"), 10);
  const [environment, choose] = useState("main");
  const environments = data ? data.environments.map((e) => e.name) : ["main"];
  return html`
    <${Trouble} error=${error} />
    <form class="filter"><label>Environment <select value=${environment} onChange=${(e) => choose(e.target.value)}>${environments.map((name) => html`<option>${name}</option>`)}</select></label></form>
    ${kinds.map(([kind, title, make]) => html`<${Kind} key=${kind} kind=${kind} title=${title} make=${make} environment=${environment} />`)}`;
}

/** The list in an answer, whatever its name: volumes, objects, ... */
const listOf = (answer) => Object.values(answer).find(Array.isArray) || [];

function Kind({ kind, title, make, environment }) {
  const { data, error } = useHost(async () => listOf(await ask(`${kind}.list`, { environment })), 5, [environment]);
  const columns = [
    ["Name", (o) => o.name],
    ["Made", (o) => html`<${Moment} at=${o.created_at ?? o.created} />`],
  ];
  if (kind === "volume") columns.push(["Version", (o) => o.version ?? "", "number"], ["Size", (o) => (o.bytes === undefined ? "" : bytes(o.bytes)), "number"], ["Files", (o) => o.files ?? "", "number"]);
  if (kind === "queue") columns.push(["Partitions", (o) => o.partitions ?? "", "number"], ["Items", (o) => o.items ?? "", "number"]);
  if (kind === "secret") columns.push(["Keys", (o) => (o.keys || []).join(", ")]);
  return html`<${Panel} title=${title}><${Trouble} error=${error} /><${Table} rows=${error ? [] : data} none=${`None here: ${make} makes one.`} columns=${columns} /><//>`;
}
