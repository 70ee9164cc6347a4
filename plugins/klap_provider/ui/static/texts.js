/** The texts, numbers and paths of the tab. Pure. */

/** The texts that differ between a run that made shorts and a run that captioned one video. */
export const SHORTS = {
  title: "Shorts",
  pending: ["No shorts yet", "They appear here automatically."],
  ended: ["No shorts", "The run ended without shorts."],
};
export const VIDEO = {
  title: "Video",
  pending: ["No video yet", "It appears here automatically."],
  ended: ["No video", "The run ended without a video."],
};

/**
 * Plain names for states that Airflow names after their mechanism.
 *
 * @type {Record<string, string>}
 */
const PLAIN = { deferred: "waiting", up_for_reschedule: "waiting", awaiting_input: "waiting_for_you" };

/** Return the name of a state. */
export const stateName = (/** @type {string | null} */ state) =>
  (PLAIN[state ?? ""] ?? state ?? "no_status").replaceAll("_", " ").replace(/\b\w/g, (letter) => letter.toUpperCase());

/** Format seconds as minutes and seconds. */
export function clock(/** @type {number} */ seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Format a number of bytes. */
export function fileSize(/** @type {number} */ bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** Format a price in US dollars. */
export function formatPrice(/** @type {number} */ dollars) {
  return dollars === 0
    ? "free"
    : `$${dollars.toFixed(Math.abs(dollars * 100 - Math.round(dollars * 100)) < 1e-6 ? 2 : 4)}`;
}

/** Format a price that may be estimated or unknown. */
export const priceText = (/** @type {{price?: number | null, estimated?: boolean}} */ { price, estimated }) =>
  price === null || price === undefined ? "price unknown" : `${formatPrice(price)}${estimated ? " (estimated)" : ""}`;

/**
 * Format the price of the submission of a video, to which that of the generated shorts is added.
 *
 * @param {{price?: number | null, estimated?: boolean}} pays
 * @param {boolean} isWhole whether the video is captioned as a whole
 */
export const submissionPriceText = (pays, isWhole) => `${priceText(pays)}${isWhole ? "" : " + generated shorts"}`;

/** Payments above this sum are confirmed, in US dollars. */
const CONFIRMED_ABOVE = 5;

/**
 * Return the question to ask before an action that pays; null if none is needed.
 *
 * @param {{price: number | null, estimated: boolean, again?: boolean, text?: string} | null | undefined} pays `price`:
 *   null if it is unknown; `again`: such a request was paid for before; `text`: the price as text
 */
export function confirmation(pays) {
  if (!pays) return null;
  const { price, again = false, text = priceText(pays) } = pays;
  if (again) return `An earlier request was paid for. Klap bills this one as well: ${text}.`;
  if (price === null) return "Klap bills this action. Its price is unknown.";
  return price > CONFIRMED_ABOVE ? `Klap bills ${text} for this action.` : null;
}

/** Format what was paid; null if it is unknown. */
export const costText = (/** @type {{total: number, estimated: boolean} | null} */ cost) =>
  cost && `${cost.total ? formatPrice(cost.total) : "$0.00"}${cost.estimated ? " (estimated)" : ""}`;

/**
 * Return a path within Airflow's UI. As in Airflow's own links, only characters that would end a segment are escaped:
 * otherwise Airflow does not recognise the current page.
 *
 * @param {...(string | number)} segments
 */
export const uiPath = (...segments) =>
  segments.map((segment) => `/${String(segment).replace(/[%/?#\\]/g, encodeURIComponent)}`).join("");

/** Return the path of the paid requests of a run, on the Klap page. */
export const costPath = (/** @type {{dag_id: string, run_id: string}} */ { dag_id: dagId, run_id: runId }) =>
  `/plugin/klap?${new URLSearchParams({ view: "cost", dag_id: dagId, run_id: runId })}`;

/** Return the time zone that was chosen in Airflow's UI; undefined for that of the browser. */
function chosenTimeZone() {
  try {
    const timeZone = JSON.parse(localStorage.getItem("timezone") ?? "");
    return new Intl.DateTimeFormat("en", { timeZone }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/**
 * Format a time as Airflow's own pages do, in the time zone that was chosen there.
 *
 * @param {string} iso
 * @param {string} [timeZone]
 */
export const timeText = (iso, timeZone = chosenTimeZone()) =>
  new Date(iso).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone });

/** Return a number of shorts as text. */
export const count = (/** @type {number} */ shorts) => (shorts === 1 ? "1 short" : `${shorts} shorts`);

/** Return how long the run has been waiting for Klap. */
export function waitText(/** @type {string | null} */ since, /** @type {Date} */ now) {
  const minutes = Math.floor((now.getTime() - new Date(since ?? now).getTime()) / 60000);
  if (minutes < 1) return "Waiting for Klap";
  const hours = Math.floor(minutes / 60);
  return `Waiting for Klap for ${hours ? `${hours} h ` : ""}${minutes % 60} min`;
}

/**
 * Return the current stage of a run.
 *
 * @param {Stage} stage
 * @param {Date} now
 */
export const stageText = ({ text, since }, now) => (since === null ? text : waitText(since, now));
