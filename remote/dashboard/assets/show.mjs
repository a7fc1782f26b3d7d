// How things are shown: numbers, times, tables, states.
import { html } from "./html.mjs";

export function bytes(n) {
  if (!n) return "0 B";
  const unit = Math.min(Math.floor(Math.log(n) / Math.log(1000)), 5);
  return unit === 0 ? `${n} B` : `${(n / 1000 ** unit).toFixed(1)} ${"kMGTP"[unit - 1]}B`;
}

/** A cost in US dollars: never rounded to nothing. */
export function dollars(cost) {
  if (!cost) return "$0";
  if (cost < 0.000001) return "< $0.000001";
  return cost < 0.01 ? `$${cost.toFixed(6)}` : `$${cost.toFixed(2)}`;
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

/** A moment: how long ago it was, or how soon it is; the whole of it when pointed at. */
export function Moment({ at }) {
  if (!at) return "";
  const date = typeof at === "number" ? new Date(at * 1000) : new Date(at);
  const seconds = (Date.now() - date) / 1000;
  const text = seconds >= 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
  return html`<time datetime=${date.toISOString()} title=${date.toLocaleString()}>${text}</time>`;
}

/** A state, with a colour. */
export function State({ name }) {
  const kind = { running: "good", ready: "good", deployed: "good", ok: "good", active: "good", done: "good", failed: "bad", missed: "bad", skipped: "busy", paused: "dim", stopped: "dim", ended: "dim", starting: "busy", stopping: "busy" }[name] || "";
  return html`<span class="state ${kind}">${name}</span>`;
}

/**
 * A table. columns are [title, row => content, "number"?]; what there is to say
 * when it has no rows is `none`.
 */
export function Table({ columns, rows, none }) {
  if (!rows) return html`<p class="dim">…</p>`;
  if (rows.length === 0) return html`<p class="dim">${none}</p>`;
  return html`<div class="scroll"><table>
    <thead><tr>${columns.map(([title, , kind]) => html`<th class=${kind}>${title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${columns.map(([, content, kind]) => html`<td class=${kind}>${content(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** What went wrong, if anything did. */
export function Trouble({ error }) {
  if (!error) return null;
  return html`<p class="trouble" role="alert">${error.message}</p>`;
}

/** A section with a title. */
export function Panel({ title, actions, children }) {
  return html`<section><header><h2>${title}</h2><div class="actions">${actions}</div></header>${children}</section>`;
}
