// The host API, as this page uses it.
import { useEffect, useState } from "preact/hooks";

/** Sends a request; what the host refuses is an Error with its message and code. */
async function send(method, path, body) {
  let response;
  try {
    response = await fetch(path, { method, body });
  } catch {
    throw new Error("The host does not answer. `gx host status` tells whether it runs; this page goes on when it does.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    told.message = `The host answered ${response.status}: ${text.slice(0, 200)}`;
  }
  throw Object.assign(new Error(told.message), { code: told.code });
}

/** What the host answers with, as JSON says it; null if it answers with nothing. */
export async function request(method, path, body) {
  const response = await send(method, path, body === undefined ? undefined : JSON.stringify(body));
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path) => request("GET", path);

/** A list, which the host may write as null when it is empty. */
export const list = async (path) => (await get(path)) ?? [];

/** The parameters of a question as a message: the length of its head, and the head (package wire has EncodeMessage). */
function encode(params) {
  const head = new TextEncoder().encode(JSON.stringify({ params }));
  const message = new Uint8Array(4 + head.length);
  new DataView(message.buffer).setUint32(0, head.length, true);
  message.set(head, 4);
  return message;
}

/** The result of an answer to a question. */
function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))).result ?? {};
}

/** A question about what the host stores; package ask of the engine has its side. */
export async function ask(op, params = {}) {
  return decode(await (await send("POST", `/v1/ask/${op}`, encode(params))).arrayBuffer());
}

/**
 * What load() resolves to, read again every `seconds` while the page is seen,
 * and whenever one of `inputs` is another: {data, error, again}.
 */
export function useHost(load, seconds, inputs = []) {
  const [state, set] = useState({ data: undefined, error: null });
  const [turn, next] = useState(0);
  useEffect(() => {
    let over = false;
    let timer = 0;
    const read = async () => {
      if (!document.hidden) {
        try {
          const data = await load();
          if (!over) set({ data, error: null });
        } catch (error) {
          if (!over) set((before) => ({ data: before.data, error }));
        }
      }
      if (!over && seconds) timer = setTimeout(read, seconds * 1000);
    };
    set((before) => ({ data: before.data, error: null }));
    read();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [...inputs, turn]);
  return { ...state, again: () => next((n) => n + 1) };
}
