/** Requests to Airflow's public REST API and to the plugin, in the session of the user and with the user's permissions. */

/** Timeout of a request that is not a poll, in milliseconds. */
const LONGEST = 60_000;

/** A response other than 2xx. */
export class ApiError extends Error {
  /**
   * @param {number} status the HTTP status
   * @param {string} message the reason that the server gave
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * Return the text that the UI shows for a failed request: the cause, and what to do.
 *
 * @param {unknown} error
 * @param {string} [forbidden] the text for a status of 403; default: the server's reason
 */
export function errorText(error, forbidden = undefined) {
  if (!(error instanceof ApiError))
    return `Airflow did not respond (${error instanceof Error ? error.message : error}).`;
  if (error.status === 401 || error.message === "Invalid JWT token") return "Your session has expired. Sign in again.";
  if (error.status === 403) return forbidden ?? error.message;
  if (error.status === 409) return error.message;
  return `Airflow returned ${error.status}: ${error.message}`;
}

/**
 * GET a path below `api/v2/`, wherever Airflow is served.
 *
 * @param {string[]} path its segments, not yet encoded
 * @param {Record<string, string | number | string[]>} query parameters; an array repeats one
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the decoded response
 * @throws {ApiError} for a response other than 2xx
 */
export const get = (path, query = {}, signal = undefined) => read(urlOf(["api", "v2", ...path], query), signal);

/**
 * GET a path that the plugin serves; see {@link get}.
 *
 * @param {string[]} path
 * @param {Record<string, string | number | string[]>} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export const getFromPlugin = (path, query = {}, signal = undefined) => read(pluginUrl(path, query), signal);

/**
 * GET a path that the plugin serves, with the ETag of the response before.
 *
 * @param {string[]} path
 * @param {{response: any, etag: string | null}} known the response before
 * @param {AbortSignal} [signal]
 * @returns {Promise<{response: any, etag: string | null}>} `known` itself, if nothing has changed
 */
export async function getIfChanged(path, known, signal = undefined) {
  const headers = { Accept: "application/json", ...(known.etag && { "If-None-Match": known.etag }) };
  const response = await fetch(pluginUrl(path), { cache: "no-store", headers, signal });
  if (response.status === 304) return known;
  if (!response.ok) throw new ApiError(response.status, await reason(response));
  return { response: await decoded(response), etag: response.headers.get("ETag") };
}

/**
 * Return the URL of a path that the plugin serves, wherever Airflow is served.
 *
 * @param {string[]} path
 * @param {Record<string, string | number | string[]>} query
 */
export const pluginUrl = (path, query = {}) => urlOf(["klap", ...path], query);

function urlOf(/** @type {string[]} */ path, /** @type {Record<string, string | number | string[]>} */ query) {
  const url = new URL(path.map(encodeURIComponent).join("/"), document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) url.searchParams.append(name, String(each));
  }
  return url;
}

/** @param {URL} url */
async function read(url, signal = AbortSignal.timeout(LONGEST)) {
  const response = await fetch(url, { headers: { Accept: "application/json" }, signal });
  if (!response.ok) throw new ApiError(response.status, await reason(response));
  return decoded(response);
}

/** @param {Response} response */
async function decoded(response) {
  try {
    return await response.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // the request was aborted
    throw new ApiError(response.status, "a web page or an empty response, maybe of a proxy. Reload this page.");
  }
}

/**
 * Return the id of the asset whose state store is the ledger, see xcoms.py; null if there is no such asset.
 *
 * @param {AbortSignal} [signal]
 */
export async function ledgerId(signal = undefined) {
  /** @type {{assets: {id: number, name: string}[]}} */
  const { assets } = await get(["assets"], { name_pattern: "klap_ledger" }, signal);
  return assets.find(({ name }) => name === "klap_ledger")?.id ?? null;
}

/** @param {Response} response */
async function reason(response) {
  try {
    const { detail } = await response.json();
    if (!Array.isArray(detail)) return String(detail);
    return detail.map(({ loc = [], msg }) => `${loc.at(-1)}: ${msg}.`).join(" ");
  } catch {
    return response.statusText;
  }
}

/**
 * POST to a path below `api/v2/`. Browsers send the session's cookie only from Airflow's own pages.
 *
 * @param {string[]} path its segments, not yet encoded
 * @param {any} body sent as JSON
 * @returns {Promise<any>} the decoded response, or null
 * @throws {ApiError} for a response other than 2xx
 */
export const post = (path, body) => postTo(urlOf(["api", "v2", ...path], {}), body);

/**
 * POST to a path that the plugin serves; see {@link post}.
 *
 * @param {string[]} path
 * @param {any} body
 * @returns {Promise<any>}
 */
export const postToPlugin = (path, body) => postTo(pluginUrl(path), body);

async function postTo(/** @type {URL} */ url, /** @type {any} */ body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const signal = AbortSignal.timeout(LONGEST);
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw new ApiError(response.status, await reason(response));
  return response.status === 204 ? null : decoded(response);
}
