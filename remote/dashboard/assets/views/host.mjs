// The host itself: what it is, its disk, its images.
import { html } from "../html.mjs";
import { get, useHost } from "../host.mjs";
import { bytes, duration, Moment, Panel, Table, Trouble } from "../show.mjs";

export function Host() {
  const { data: s, error } = useHost(() => get("/v1/status"), 10);
  const { data: images, error: failed } = useHost(() => get("/v1/images"), 30);
  return html`
    <${Trouble} error=${error || failed} />
    ${s && html`<${Panel} title="Host"><dl>
      <dt>Version</dt><dd>${s.version}</dd>
      <dt>Runs for</dt><dd>${duration(s.uptime)}</dd>
      <dt>Containers</dt><dd>${s.runtime}${(s.unisolated || []).length ? html` <span class="trouble">without isolation of ${s.unisolated.join(", ")}</span>` : ""}</dd>
      <dt>Images</dt><dd>${s.engine}</dd>
      <dt>Address</dt><dd><code>${s.address}</code></dd>
      <dt>State</dt><dd><code>${s.state_dir}</code></dd>
      <dt>Log</dt><dd><code>${s.log_file}</code></dd>
      <dt>Disk</dt><dd>images ${bytes(s.disk.images)}, files ${bytes(s.disk.blobs)}, logs ${bytes(s.disk.logs)}, results ${bytes(s.disk.journals)} of ${bytes(s.disk.budget)}; ${bytes(s.disk.free)} are free</dd>
    </dl><//>`}
    <${Panel} title="Images"><${Table} rows=${images && images.images} none="No image was built." columns=${[
      ["Image", (i) => html`<code>${i.id}</code>`],
      ["Steps", (i) => html`<span title=${(i.steps || []).join("\n")}>${(i.steps || []).slice(-2).join(" · ")}</span>`],
      ["Own size", (i) => bytes(i.bytes), "number"],
      ["Last used", (i) => html`<${Moment} at=${i.last_used} />`],
      ["", (i) => (i.in_use ? "in use" : "")],
    ]} /><//>`;
}
