/** Airflow's public REST API, with the session and so the permissions of the user who looks at the page. */

/** An answer other than 2xx. */
export class ApiError extends Error {
  /**
   * @param {number} status the HTTP status
   * @param {string} message what the server said
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * GET an address below `api/v2/`, wherever Airflow is served.
 *
 * @param {string[]} path its parts, not yet encoded
 * @param {Record<string, string | number | string[]>} query parameters; an array repeats one
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the decoded answer
 * @throws {ApiError} for an answer other than 2xx
 */
export const get = (path, query = {}, signal = undefined) => read(address(["api", "v2", ...path], query), signal);

/** The same of what the plugin itself serves, in the same session. */
export const getFromPlugin = (path, query = {}, signal = undefined) => read(pluginAddress(path, query), signal);

/**
 * GET an answer of the plugin's, unless it is still as it was.
 *
 * @param {string[]} path
 * @param {{answer: any, etag: string | null}} known the answer before
 * @param {AbortSignal} [signal]
 * @returns {Promise<{answer: any, etag: string | null}>} the same object's answer, if nothing has changed
 */
export async function askPlugin(path, known, signal = undefined) {
  const headers = { Accept: "application/json", ...(known.etag && { "If-None-Match": known.etag }) };
  const answer = await fetch(pluginAddress(path), { cache: "no-store", headers, signal });
  if (answer.status === 304) return known;
  if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
  return { answer: await answer.json(), etag: answer.headers.get("ETag") };
}

/** The address of what the plugin serves, wherever Airflow is served. */
export const pluginAddress = (path, query = {}) => address(["klap", ...path], query);

function address(path, query) {
  const url = new URL(path.map(encodeURIComponent).join("/"), document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) url.searchParams.append(name, each);
  }
  return url;
}

async function read(url, signal) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, signal });
  if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
  return answer.json();
}

/** The number of the asset whose state store is the ledger, see xcoms.py; null: there is none of that name. */
export async function ledgerId(signal = undefined) {
  const { assets } = await get(["assets"], { name_pattern: "klap_ledger" }, signal);
  return assets.find(({ name }) => name === "klap_ledger")?.id ?? null;
}

async function reason(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : JSON.stringify(detail);
  } catch {
    return answer.statusText;
  }
}

/**
 * Ask Airflow to change something, below `api/v2/`. The session's cookie is only sent by Airflow's own pages.
 *
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string[]} path its parts, not yet encoded
 * @param {any} [body] what is sent, as JSON
 * @returns {Promise<any>} the decoded answer, or null
 * @throws {ApiError} for an answer other than 2xx
 */
export const send = (method, path, body = undefined) => ask(method, address(["api", "v2", ...path], {}), body);

/** The same of what the plugin itself does. */
export const sendToPlugin = (method, path, body = undefined) => ask(method, pluginAddress(path), body);

async function ask(method, url, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
  return answer.status === 204 ? null : answer.json();
}
