// An app's log: what there is, and what comes.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.mjs";
import { Trouble } from "../show.mjs";

const most = 2000; // lines that are shown

/** The log's lines as they come; a connection that breaks goes on after the last line. */
function useLog(app, query) {
  const [lines, set] = useState([]);
  const [state, tell] = useState({ live: false, error: null });
  useEffect(() => {
    let over = false;
    let last = 0;
    let socket = null;
    let timer = 0;
    let pending = [];
    set([]);
    const flush = () => {
      if (!pending.length) return;
      const came = pending;
      pending = [];
      set((before) => [...before, ...came].slice(-most));
    };
    const painter = setInterval(flush, 100);
    const connect = () => {
      const q = new URLSearchParams(query);
      q.set("follow", "1");
      if (last) q.set("after", String(last));
      else q.set("tail", "500");
      socket = new WebSocket(`ws://${location.host}/v1/apps/${encodeURIComponent(app)}/logs?${q}`);
      let ended = false;
      socket.onopen = () => tell({ live: true, error: null });
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        for (const line of message.lines || []) {
          if (line.seq <= last) continue;
          last = line.seq;
          pending.push(line);
        }
        if (message.error) tell({ live: false, error: new Error(message.error.message) });
        if (message.end || message.error) ended = true;
      };
      socket.onclose = () => {
        if (over) return;
        tell((before) => ({ ...before, live: false }));
        if (!ended) timer = setTimeout(connect, 1000);
      };
    };
    connect();
    return () => {
      over = true;
      clearTimeout(timer);
      clearInterval(painter);
      socket.close();
    };
  }, [app, query]);
  return { lines, ...state };
}

export function Log({ app, functions }) {
  const [name, choose] = useState("");
  const [text, search] = useState("");
  const [typed, type] = useState("");
  const query = new URLSearchParams([...(name ? [["function", name]] : []), ...(text ? [["search", text]] : [])]).toString();
  const { lines, live, error } = useLog(app, query);
  const box = useRef(null);
  const stick = useRef(true);
  useEffect(() => {
    if (box.current && stick.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  return html`
    <${Trouble} error=${error} />
    <form class="filter" onSubmit=${(e) => { e.preventDefault(); search(typed); }}>
      <label>Function <select value=${name} onChange=${(e) => choose(e.target.value)}><option value="">all</option>${(functions || []).map((f) => html`<option>${f}</option>`)}</select></label>
      <label>Search <input type="search" value=${typed} onInput=${(e) => { type(e.target.value); if (!e.target.value) search(""); }} /></label>
      <span class="dim">${live ? "live" : "not live"}</span>
    </form>
    <div class="log" ref=${box} onScroll=${(e) => { const b = e.target; stick.current = b.scrollHeight - b.scrollTop - b.clientHeight < 40; }}>
      ${lines.length === 0 ? html`<p class="dim">No line fits yet.</p>` : lines.map((line) => html`<div class=${line.stream} key=${line.seq}><time title=${line.container}>${line.time.slice(11, 23)}</time><b>${line.function}</b><span>${line.text}</span></div>`)}
    </div>`;
}
