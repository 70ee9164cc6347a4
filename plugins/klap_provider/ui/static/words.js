/** The words of the tab. Pure. */

/** What an operator does while it is at work. */
const AT_WORK = {
  ExportShortOperator: "Ordering the export",
  ExportStatusSensor: "Klap is exporting",
  DeliverShortOperator: "Delivering",
};

/** What an operator has done when it succeeded. */
export const DONE = {
  ExportShortOperator: "Export ordered",
  ExportStatusSensor: "Exported",
  DeliverShortOperator: "Delivered",
};

/** What it means that an operator failed. */
export const FAILED = {
  SubmitShortsOperator: "The video could not be submitted",
  SubmitVideoOperator: "The video could not be submitted",
  TaskStatusSensor: "Klap did not finish the video",
  ExportShortOperator: "The export could not be ordered",
  ExportStatusSensor: "The export failed",
  DeliverShortOperator: "The delivery failed",
};

/** What is said of several shorts, and of one whole video, where that is not the same. */
export const SHORTS = {
  title: "Shorts",
  choosing: "Choosing the shorts",
  noChoice: "The shorts could not be chosen",
  none: "The run has ended without shorts",
  pending: ["No shorts yet", "They show up here by themselves."],
  ended: ["No shorts", "The run has ended without any."],
};
export const VIDEO = {
  title: "Video",
  choosing: "Looking up the video",
  noChoice: "The video could not be looked up",
  none: "The run has ended without a video",
  pending: ["No video yet", "It shows up here by itself."],
  ended: ["No video", "The run has ended without one."],
};

/** Why a short was not selected. */
export const LEFT_OUT = {
  below_minimum: "Below the minimum score",
  no_score: "No score from Klap",
  beyond_limit: "Beyond the limit",
  not_picked: "Not picked",
  beyond_budget: "Beyond the budget",
  beyond_map_length: "Beyond Airflow's max_map_length",
  selected_before: "Not in the selection that was made before",
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

/** A price that may be second-hand, for a reader. */
export const priceWords = ({ price, secondHand }) => `${money(price)}${secondHand ? " (second-hand price)" : ""}`;

/** What was paid, for a reader; null: nobody knows. */
export const costWords = (cost) =>
  cost && `${cost.total ? money(cost.total) : "$0.00"}${cost.secondHand ? " at second-hand prices" : ""}`;

/**
 * A path within Airflow's UI, of its parts, as Airflow writes its own links: only what would end a part is escaped.
 * Escaped otherwise, Airflow does not know that it is on the page which a link leads to.
 */
export const pathOf = (...parts) =>
  parts.map((part) => `/${String(part).replace(/[%/?#\\]/g, encodeURIComponent)}`).join("");

/** The address of what a run has paid for, request by request: on the page Klap. */
export const costOf = ({ dag_id: dagId, run_id: runId }) =>
  `/plugin/klap?${new URLSearchParams({ view: "cost", dag_id: dagId, run_id: runId })}`;

/** The name of the file that an address leads to: the rest may be a secret. Empty: it has none. */
export const fileOf = (address) =>
  address && URL.canParse(address) ? (new URL(address).pathname.split("/").at(-1) ?? "") : "";

/** What to call a video by its address, or null. */
export function addressName(address) {
  if (!address || !URL.canParse(address)) return address ?? null;
  const { host, pathname, search } = new URL(address);
  return `${host}${pathname}${pathname === "/watch" ? search : ""}`;
}

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

/** What a step of a short is at, or has come to. */
export function stepWords({ operator, state }) {
  if (state === "success") return DONE[operator];
  if (state === "failed") return FAILED[operator];
  if (state === "up_for_retry") return `${AT_WORK[operator]}: to be tried again`;
  if (state === "upstream_failed") return "Not reached";
  if (state === "skipped") return "Skipped";
  return [null, "scheduled", "queued"].includes(state) ? "Waiting for its turn" : AT_WORK[operator];
}

/** For how long Klap has been waited for. */
export function waitWords(since, now) {
  const minutes = Math.floor((now - new Date(since ?? now)) / 60000);
  if (minutes < 1) return "Waiting for Klap";
  const hours = Math.floor(minutes / 60);
  return `Waiting for Klap for ${hours ? `${hours} h ` : ""}${minutes % 60} min`;
}
