// What was used, and what it would cost at list prices.
import { useState } from "preact/hooks";
import { html } from "../html.mjs";
import { ask, useHost } from "../host.mjs";
import { dollars, Panel, Table, Trouble } from "../show.mjs";

const spans = [["24 hours", 1, "h"], ["7 days", 7, "d"], ["30 days", 30, "d"]];

async function read(days, step) {
  const start = Date.now() / 1000 - days * 86400;
  const [time, apps, cards] = await Promise.all([
    ask("billing.report", { start, step }),
    ask("billing.report", { start, by: ["app"] }),
    ask("billing.report", { start, by: ["gpu"] }),
  ]);
  return { time: time.rows, apps: apps.rows, cards: cards.rows };
}

/** A bar for each hour or day, also for those in which nothing was used. */
function Bars({ rows, days, step }) {
  const length = step === "h" ? 3600e3 : 86400e3;
  const costs = new Map(rows.map((row) => [Date.parse(row.start), row.cost]));
  const last = Math.floor(Date.now() / length) * length;
  const count = step === "h" ? days * 24 : days;
  const times = Array.from({ length: count }, (_, i) => last - (count - 1 - i) * length);
  const top = Math.max(...times.map((t) => costs.get(t) || 0), 1e-12);
  const label = (t) => (step === "h" ? new Date(t).toISOString().slice(11, 16) : new Date(t).toISOString().slice(5, 10));
  const width = 100 / count;
  return html`<figure class="bars"><svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label="Cost over time">
    ${times.map((t, i) => {
      const height = (28 * (costs.get(t) || 0)) / top;
      return html`<rect x=${i * width + width * 0.1} width=${width * 0.8} y=${30 - height} height=${height}><title>${label(t)}: ${dollars(costs.get(t))}</title></rect>`;
    })}
  </svg><figcaption><span>${label(times[0])}</span><span>highest ${dollars(costs.size ? top : 0)}</span><span>${label(last)} (UTC)</span></figcaption></figure>`;
}

export function Cost() {
  const [[title, days, step], choose] = useState(spans[0]);
  const { data, error } = useHost(() => read(days, step), 15, [days]);
  const total = data ? data.apps.reduce((sum, row) => sum + row.cost, 0) : 0;
  const columns = [
    ["Containers", (r) => r.containers, "number"],
    ["Inputs", (r) => r.inputs, "number"],
    ["Failed", (r) => r.failed, "number"],
    ["Seconds", (r) => r.seconds.toFixed(1), "number"],
    ["Cost", (r) => dollars(r.cost), "number"],
  ];
  return html`
    <${Trouble} error=${error} />
    <${Panel} title=${`${dollars(total)} in ${title}, at list prices`} actions=${spans.map((span) => html`<button aria-pressed=${span[1] === days} onClick=${() => choose(span)}>${span[0]}</button>`)}>
      ${data && html`<${Bars} rows=${data.time} days=${days} step=${step} />`}
    <//>
    <${Panel} title="By app"><${Table} rows=${data && data.apps} none="Nothing was used." columns=${[
      ["App", (r) => html`<a href="#/app/${encodeURIComponent(r.app)}/cost">${r.environment !== "main" ? `${r.environment}/` : ""}${r.app_name || "(without a name)"}</a>`],
      ["Id", (r) => html`<code>${r.app}</code>`],
      ...columns,
    ]} /><//>
    <${Panel} title="By card"><${Table} rows=${data && data.cards} none="Nothing was used." columns=${[["GPU", (r) => (r.gpu ? `${r.gpu}${r.gpus > 1 ? ` × ${r.gpus}` : ""}${r.emulated ? " (emulated)" : ""}` : "none")], ...columns]} /><//>`;
}
