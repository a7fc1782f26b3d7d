// Functions that are called by themselves: when, how it went, and what was missed.
import { useState } from "preact/hooks";
import { html } from "../html.mjs";
import { ask, list, request, useHost } from "../host.mjs";
import { duration, Moment, Panel, State, Table, Trouble } from "../show.mjs";

const refOf = (s) => (s.environment && s.environment !== "main" ? `${s.environment}/${s.app}` : s.app);
const pathOf = (s) => `/v1/schedules/${encodeURIComponent(refOf(s))}/${encodeURIComponent(s.function)}`;

/** The schedules of every environment. */
async function all() {
  const { environments } = await ask("environment.list");
  const lists = await Promise.all(environments.map((e) => list(`/v1/schedules?environment=${encodeURIComponent(e.name)}`)));
  return lists.flat();
}

export function Schedules() {
  const { data, error, again } = useHost(all, 5);
  const [shown, show] = useState(null);
  const [failed, fail] = useState(null);
  const act = async (s, what) => {
    fail(null);
    try {
      await request("POST", `${pathOf(s)}/${what}`, {});
    } catch (e) {
      fail(e);
    }
    again();
  };
  const chosen = data && shown && data.find((s) => pathOf(s) === shown);
  return html`
    <${Trouble} error=${error || failed} />
    <${Panel} title="Schedules"><${Table} rows=${data} none="No deployed function has a schedule: schedule=gx.Cron(...) or gx.Period(...) gives it one." columns=${[
      ["App", (s) => refOf(s)],
      ["Function", (s) => html`<a href="#/schedules" onClick=${(e) => { e.preventDefault(); show(pathOf(s)); }}>${s.function}</a>`],
      ["When", (s) => html`<code>${s.when}</code>`],
      ["State", (s) => html`<${State} name=${s.state} />`],
      ["Next", (s) => html`<${Moment} at=${(s.next || [])[0]} />`],
      ["Last run", (s) => s.last && html`<${State} name=${s.last.outcome} /> <${Moment} at=${s.last.fired || s.last.planned} />`],
      ["Missed, 7 days", (s) => s.missed || "", "number"],
      ["", (s) => html`<button onClick=${() => act(s, "run")}>Run now</button> ${s.state === "paused" ? html`<button onClick=${() => act(s, "resume")}>Resume</button>` : s.state === "active" ? html`<button onClick=${() => act(s, "pause")}>Pause</button>` : ""}`],
    ]} /><//>
    ${chosen && html`<${Runs} key=${shown} schedule=${chosen} />`}`;
}

function Runs({ schedule }) {
  const { data, error } = useHost(() => list(`${pathOf(schedule)}/runs?tail=50`), 3);
  return html`
    <${Trouble} error=${error} />
    <${Panel} title=${`Runs of ${schedule.function}`}>
      <p class="dim">Next: ${(schedule.next || []).map((at) => new Date(at).toLocaleString()).join(" · ")}</p>
      <${Table} rows=${data} none="It has not been due yet." columns=${[
        ["Planned", (r) => new Date(r.planned).toLocaleString()],
        ["", (r) => (r.hand ? "by hand" : r.ticks > 1 ? `${r.ticks} times` : "")],
        ["Outcome", (r) => html`<${State} name=${r.outcome} />`],
        ["Took", (r) => (r.ended && r.fired ? duration((new Date(r.ended) - new Date(r.fired)) / 1000) : ""), "number"],
        ["Call", (r) => r.call && html`<code>${r.call}</code>`],
        ["", (r) => r.failure || ""],
      ]} />
    <//>`;
}
