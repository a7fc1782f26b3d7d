// A deployed app's versions: what differs, and the way back.
import { useState } from "preact/hooks";
import { html } from "../html.mjs";
import { get, request, useHost } from "../host.mjs";
import { Moment, Panel, State, Table, Trouble } from "../show.mjs";

export function Versions({ app, id, changed }) {
  if (app && !app.version) return html`<p class="dim">The app ends with its session and has no versions: <code>gx deploy</code> makes one stay.</p>`;
  return html`<${Deployment} id=${id} changed=${changed} />`;
}

function Deployment({ id, changed }) {
  const path = `/v1/deployments/${encodeURIComponent(id)}`;
  const { data, error, again } = useHost(() => get(path), 5, [id]);
  const [shown, show] = useState(null);
  const [problem, fail] = useState(null);
  const [busy, work] = useState(false);
  const back = async (version) => {
    if (!confirm(`Go back to version ${version}? It becomes a new version; requests under way finish on the old one.`)) return;
    work(true);
    fail(null);
    try {
      await request("POST", `${path}/rollback`, { version, who: "dashboard" });
    } catch (e) {
      fail(e);
    }
    work(false);
    again();
    changed();
  };
  const compare = async (version) => {
    fail(null);
    try {
      show(await get(`${path}/diff?from=${version}`));
    } catch (e) {
      fail(e);
    }
  };
  const versions = data && [...data.versions].sort((a, b) => b.number - a.number);
  return html`
    <${Trouble} error=${error || problem} />
    <${Panel} title="Versions"><${Table} rows=${versions} none="It was never deployed." columns=${[
      ["Version", (v) => `v${v.number}`],
      ["", (v) => (v.number === data.current ? html`<${State} name=${data.state} />` : "")],
      ["Made", (v) => html`<${Moment} at=${v.created} />`],
      ["By", (v) => v.who || ""],
      ["Tag", (v) => v.tag || ""],
      ["From", (v) => (v.of ? `${v.origin} of v${v.of}` : v.origin)],
      ["Source", (v) => html`<code>${(v.source || "").slice(0, 12)}</code>`],
      ["", (v) => v.number !== data.current && html`<button onClick=${() => compare(v.number)}>Compare</button> ${v.kept && html`<button disabled=${busy} onClick=${() => back(v.number)}>Go back</button>`}`],
    ]} /><//>
    ${shown && html`<${Difference} diff=${shown} />`}
    ${data && html`<${Panel} title="What was done"><${Table} rows=${data.history} none="Nothing." columns=${[
      ["When", (a) => html`<${Moment} at=${a.time} />`],
      ["What", (a) => a.what],
      ["Version", (a) => (a.version ? `v${a.version}` : "")],
      ["By", (a) => a.who || ""],
      ["", (a) => a.note || ""],
    ]} /><//>`}`;
}

function Difference({ diff }) {
  const list = (title, items) => items && items.length > 0 && html`<h3>${title}</h3><ul>${items}</ul>`;
  const same = !["added", "removed", "settings", "images", "files"].some((part) => (diff[part] || []).length);
  return html`<${Panel} title=${`From v${diff.from} to v${diff.to}`}>
    ${same && html`<p class="dim">Nothing differs.</p>`}
    ${list("Functions", [...(diff.added || []).map((f) => html`<li class="added">+ ${f}</li>`), ...(diff.removed || []).map((f) => html`<li class="removed">− ${f}</li>`)])}
    ${list("Settings", (diff.settings || []).map((s) => html`<li>${s.function}: ${s.setting}: <span class="removed">${s.before || "not set"}</span> → <span class="added">${s.after || "not set"}</span></li>`))}
    ${list("Images", (diff.images || []).flatMap((image) => [html`<li>${image.functions.join(", ")}${image.rebuilt ? ": built anew" : ""}</li>`, ...(image.removed || []).map((s) => html`<li class="removed">− ${s}</li>`), ...(image.added || []).map((s) => html`<li class="added">+ ${s}</li>`)]))}
    ${list("Files", (diff.files || []).map((f) => html`<li>${f.path}: ${f.change}${f.text ? html`<pre class="diff">${f.text.split("\n").map((line) => html`<span class=${line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : ""}>${line + "\n"}</span>`)}</pre>` : ""}</li>`))}
    ${diff.more_files ? html`<p class="dim">and ${diff.more_files} more files</p>` : ""}
  <//>`;
}
