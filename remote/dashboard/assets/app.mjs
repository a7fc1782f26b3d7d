// The page: its menu, and the view that the address names.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "./html.mjs";
import { get, useHost } from "./host.mjs";
import { Trouble } from "./show.mjs";
import { Apps } from "./views/apps.mjs";
import { App } from "./views/app.mjs";
import { Containers } from "./views/containers.mjs";
import { Schedules } from "./views/schedules.mjs";
import { Storage } from "./views/storage.mjs";
import { Cost } from "./views/cost.mjs";
import { Host } from "./views/host.mjs";

const views = [
  ["apps", "Apps", Apps],
  ["containers", "Containers", Containers],
  ["schedules", "Schedules", Schedules],
  ["storage", "Storage", Storage],
  ["cost", "Cost", Cost],
  ["host", "Host", Host],
];

/** The parts of the address after #: ["app", "ap-1", "logs"]. */
function place() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  return parts.length ? parts : ["apps"];
}

function Page() {
  const [at, go] = useState(place);
  useEffect(() => {
    const moved = () => go(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const { data: host, error } = useHost(() => get("/v1/version"), 5);
  const [name, ...rest] = at;
  const View = (views.find(([path]) => path === name) || [])[2];
  return html`
    <nav>
      <a class="brand" href="#/apps">gx</a>
      ${views.map(([path, title]) => html`<a href="#/${path}" aria-current=${path === name || (path === "apps" && name === "app") ? "page" : undefined}>${title}</a>`)}
      <span class="host dim">${host ? `${host.version} · ${host.runtime}` : ""}</span>
    </nav>
    <main>
      <${Trouble} error=${error} />
      ${name === "app" ? html`<${App} key=${rest[0]} id=${rest[0]} tab=${rest[1] || "functions"} rest=${rest.slice(2)} />` : View ? html`<${View} />` : html`<p>There is no page of this name. <a href="#/apps">Apps</a></p>`}
    </main>`;
}

render(html`<${Page} />`, document.body);
