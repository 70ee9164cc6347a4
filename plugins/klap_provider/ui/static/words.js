/** The words of the tab. Pure. */

/** What is said of several shorts, and of one whole video, where that is not the same. */
export const SHORTS = {
  title: "Shorts",
  pending: ["No shorts yet", "They appear here automatically."],
  ended: ["No shorts", "The run has ended without any."],
};
export const VIDEO = {
  title: "Video",
  pending: ["No video yet", "It appears here automatically."],
  ended: ["No video", "The run has ended without one."],
};

/** States that Airflow's own pages name after their mechanism. */
const PLAIN = { deferred: "waiting", up_for_reschedule: "waiting", awaiting_input: "waiting_for_you" };

/** A state as Airflow's own pages write it, or in plainer words. */
export const stateName = (state) =>
  (PLAIN[state] ?? state ?? "no_status").replaceAll("_", " ").replace(/\b\w/g, (letter) => letter.toUpperCase());

/** Seconds as minutes and seconds. */
export function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** A number of bytes for a reader. */
export function fileSize(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** A price in US dollars for a reader. */
export function money(dollars) {
  return dollars === 0
    ? "free"
    : `$${dollars.toFixed(Math.abs(dollars * 100 - Math.round(dollars * 100)) < 1e-6 ? 2 : 4)}`;
}

/** A price, which may be estimated or unknown, for a reader. */
export const priceWords = ({ price, estimated }) =>
  price === null ? "price unknown" : `${money(price)}${estimated ? " (estimated price)" : ""}`;

/** What was paid, for a reader; null: nobody knows. */
export const costWords = (cost) =>
  cost && `${cost.total ? money(cost.total) : "$0.00"}${cost.estimated ? " at estimated prices" : ""}`;

/**
 * A path within Airflow's UI, of its parts, as Airflow writes its own links: only what would end a part is escaped.
 * Escaped otherwise, Airflow does not know that it is on the page which a link leads to.
 */
export const pathOf = (...parts) =>
  parts.map((part) => `/${String(part).replace(/[%/?#\\]/g, encodeURIComponent)}`).join("");

/** The address of what a run has paid for, request by request: on the page Klap. */
export const costOf = ({ dag_id: dagId, run_id: runId }) =>
  `/plugin/klap?${new URLSearchParams({ view: "cost", dag_id: dagId, run_id: runId })}`;

/** The time zone that was chosen in Airflow's UI, from where that keeps it; undefined: none was, it is the browser's. */
function chosenZone() {
  try {
    const timeZone = JSON.parse(localStorage.getItem("timezone"));
    return new Intl.DateTimeFormat("en", { timeZone }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** A moment as Airflow's own pages write it, in the time zone that was chosen there. */
export const momentWords = (iso, timeZone = chosenZone()) =>
  new Date(iso).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone });

/** A number of shorts. */
export const count = (shorts) => (shorts === 1 ? "1 short" : `${shorts} shorts`);

/** For how long Klap has been waited for. */
export function waitWords(since, now) {
  const minutes = Math.floor((now - new Date(since ?? now)) / 60000);
  if (minutes < 1) return "Waiting for Klap";
  const hours = Math.floor(minutes / 60);
  return `Waiting for Klap for ${hours ? `${hours} h ` : ""}${minutes % 60} min`;
}

/** Where a run stands, for a reader. */
export const stageWords = ({ words, since }, now) => (since === null ? words : waitWords(since, now));
