// An app's functions: what waits, what runs, and the calls of the one that is chosen.
import { html } from "../html.mjs";
import { get, useHost } from "../host.mjs";
import { duration, Moment, Panel, State, Table, Trouble } from "../show.mjs";

const why = (app, name) => get(`/v1/why/${encodeURIComponent(`${app.id}/${name}`)}`);

async function all(app) {
  const told = await Promise.allSettled((app.functions || []).map((name) => why(app, name)));
  return told.map((result, i) => {
    const pools = result.status === "fulfilled" ? result.value.functions || [] : [];
    const sum = (field) => pools.reduce((n, pool) => n + pool[field], 0);
    return {
      name: app.functions[i], pools: pools.length,
      queued: sum("queued"), running: sum("running"), delayed: sum("delayed"), ready: sum("ready"), starting: sum("starting"), want: sum("want"),
      input: pools.length ? pools[0].input : 0,
      waits: pools.map((pool) => pool.waits && pool.waits.text).find(Boolean),
    };
  });
}

export function Functions({ app, chosen }) {
  const names = (app.functions || []).join();
  const { data, error } = useHost(() => all(app), 1, [app.id, names]);
  const path = `#/app/${encodeURIComponent(app.id)}/functions`;
  return html`
    <${Trouble} error=${error} />
    <${Panel} title="Functions"><${Table} rows=${data} none="It has no functions." columns=${[
      ["Name", (f) => html`<a href="${path}/${encodeURIComponent(f.name)}">${f.name}</a>`],
      ["Waiting", (f) => f.queued + f.delayed, "number"],
      ["Running", (f) => f.running, "number"],
      ["Containers", (f) => `${f.ready}${f.starting ? ` + ${f.starting} starting` : ""}`, "number"],
      ["An input takes", (f) => (f.input ? duration(f.input) : ""), "number"],
      ["Variants", (f) => (f.pools > 1 ? f.pools : ""), "number"],
      ["", (f) => f.waits || ""],
    ]} /><//>
    ${chosen && html`<${Calls} key=${chosen} app=${app} name=${chosen} />`}`;
}

function Calls({ app, name }) {
  const { data, error } = useHost(() => why(app, name), 1);
  const calls = data && (data.functions || []).flatMap((pool) => pool.calls || []);
  return html`
    <${Trouble} error=${error} />
    <${Panel} title=${`Calls of ${name}`}>
      ${data && html`<ul class="answer">${(data.answer || []).map((sentence) => html`<li>${sentence}</li>`)}</ul>`}
      <${Table} rows=${calls} none="It has not been called." columns=${[
        ["Call", (c) => html`<code>${c.id || "—"}</code>`],
        ["Kind", (c) => (c.method ? `${c.kind} of .${c.method}` : c.kind)],
        ["State", (c) => html`<${State} name=${c.state} />`],
        ["Opened", (c) => html`<${Moment} at=${c.opened} />`],
        ["Took", (c) => duration(c.took), "number"],
        ["Inputs", (c) => c.inputs, "number"],
        ["Answered", (c) => c.answered, "number"],
        ["Failed", (c) => c.failed, "number"],
        ["Tried again", (c) => c.retries, "number"],
      ]} />
    <//>`;
}
