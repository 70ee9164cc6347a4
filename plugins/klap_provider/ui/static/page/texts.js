/** The texts and numbers of the Klap page. Pure. */
import { stateName, timeText, uiPath } from "../texts.js";

const DOLLARS = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

/**
 * Format US dollars; a dash if the amount is unknown.
 *
 * @param {number | null} [amount]
 */
export const dollars = (amount) => (amount === null || amount === undefined ? "–" : DOLLARS.format(amount));

/**
 * Return how far a sum is used, from 0 to 100.
 *
 * @param {number} used
 * @param {number} sum
 */
export const percentOf = (used, sum) => (sum > 0 ? Math.max(0, Math.min(100, Math.round((100 * used) / sum))) : 100);

/** Return how far a monthly limit is used. */
export function limitUse(/** @type {MonthlyLimit} */ { kind, name, limit, used, warns }) {
  const what = `${kind === "dag" ? "Dag" : "connection"} ${name}`;
  return {
    label: `Monthly limit of the ${what}${warns ? " (warning only)" : ""}`,
    percent: percentOf(used, limit),
    isReached: used >= limit,
  };
}

/**
 * Return a number of things and their total cost as text.
 *
 * @param {{total: number, cost: number, estimated: boolean}} found
 * @param {string} what
 */
export const countText = ({ total, cost, estimated }, what) => {
  const count = total === 1 ? `1 ${what}` : `${total.toLocaleString("en-US")} ${what}s`;
  return `${count}, ${dollars(cost)}${estimated ? " (estimated)" : ""}`;
};

/** Return the note on estimated prices, once on a page. Empty if none of the rows has one. */
export function priceNote(/** @type {{cost: number | null, estimated: boolean}[]} */ rows) {
  const priced = rows.filter(({ cost }) => cost !== null);
  const estimated = priced.filter((row) => row.estimated);
  if (estimated.length === 0) return "";
  const which = estimated.length === priced.length ? "Prices" : "Some prices";
  return `${which} are estimated: they are defaults that Klap has not confirmed. Set your prices in the Klap connection.`;
}

/** Return since when a review is open, and its deadline if it has one. */
export const waiting = (/** @type {string} */ since, /** @type {string | null} */ until) =>
  `since ${timeText(since)}${until === null ? "" : `, until ${timeText(until)}`}`;

/**
 * Return the state of an item of a source.
 *
 * @param {"waiting" | "started" | "skipped"} list the list that the item is in
 * @param {SourceItem} item
 */
export function itemText(list, { at, reason }) {
  if (list === "started") return at ? `Started ${timeText(at)}` : "Started";
  const state = list === "waiting" ? "Waits" : "Skipped";
  return reason ? `${state}: ${reason}` : state;
}

/**
 * The periods to choose from, by their number of days.
 *
 * @type {Record<string, string>}
 */
export const PERIODS = {
  30: "Last 30 days",
  90: "Last 90 days",
  365: "Last year",
  month: "This month",
  all: "All time",
};

const DAY = 24 * 60 * 60 * 1000;

/**
 * Return a day as `YYYY-MM-DD`, in UTC as in the ledger, or a number of days before it.
 *
 * @param {Date} moment
 */
export const dayText = (moment, back = 0) => new Date(Number(moment) - back * DAY).toISOString().slice(0, 10);

/**
 * Return the first day of one of {@link PERIODS}.
 *
 * @param {string} period
 * @param {Date} now
 */
export function firstDay(period, now) {
  if (period === "all") return "0001-01-01";
  return period === "month" ? `${dayText(now).slice(0, 8)}01` : dayText(now, Number(period) - 1);
}

/**
 * Return a period in words.
 *
 * @param {{name: string, until: string | null}} period see {@link PERIODS}; `until`: its last day, null for today
 * @param {string} since the first day that the response includes
 * @param {Date} now
 */
export function periodText({ name, until }, since, now) {
  if (until !== null || since > firstDay(name, now)) return `from ${since} to ${until ?? dayText(now)}`;
  if (name === "all") return "in total";
  return name === "month" ? "this month" : `in the ${PERIODS[name].toLowerCase()}`;
}

/**
 * Return a parameter of the page's address if it is the name of a choice, else the name of the first choice.
 *
 * @param {object} choices
 * @param {string | undefined} given
 * @returns {string}
 */
export const oneOf = (choices, given) =>
  given !== undefined && Object.hasOwn(choices, given) ? given : Object.keys(choices)[0];

/**
 * Return the parameters that have a value.
 *
 * @param {Record<string, string | number | null | undefined>} parameters
 * @returns {Record<string, any>}
 */
export const withoutEmpty = (parameters) => Object.fromEntries(Object.entries(parameters).filter(([, value]) => value));

/** Return the filters of a list as a part of a sentence; empty without any. */
export const searchText = (/** @type {{search?: string, dag?: string, state?: string}} */ { search, dag, state }) =>
  [search && `that matches "${search}"`, dag && `of the Dag ${dag}`, state && `in the state ${stateName(state)}`]
    .filter(Boolean)
    .join(" ");

/**
 * Return an address without its scheme, split where a line may break.
 *
 * @param {string} text
 */
export const addressParts = (text) => text.replace(/^https?:\/\//, "").split(/(?<=[?&=_-]|[^:/]\/)/);

/** Return the number of shorts of a run, or of videos of a batch. */
export function shortsText(/** @type {VideoRun} */ { batch, shorts }) {
  if (batch) return batch === 1 ? "1 video" : `${batch} videos`;
  return shorts === 0 ? "–" : String(shorts);
}

/**
 * Klap's calls, as the page names them.
 *
 * @type {Record<string, string>}
 */
const CALLS = { "video-to-shorts": "Generate shorts", "video-to-video": "Caption a video" };

/** Return the name of a paid request. */
export function requestText(/** @type {string | null} */ what) {
  if (!what) return "–";
  const [call, name] = what.split(/ of (.*)/s);
  if (CALLS[call]) return name ? `${CALLS[call]}: ${name}` : CALLS[call];
  return `${what[0].toUpperCase()}${what.slice(1)}`;
}

/** Return the progress of a batch. */
export function progressText(/** @type {Batch} */ { videos, left_out: leftOut }) {
  const all = videos.length + leftOut.length;
  if (all === 0) return "No video has started yet.";
  const done = videos.filter(({ state }) => state === "success").length;
  return `${done} of ${all} ${all === 1 ? "video" : "videos"} complete.`;
}

/** Return why a batch that has ended failed, and what to do; empty if it did not fail. */
export function failureText(/** @type {Batch} */ { videos, left_out: leftOut }) {
  const failed = videos.filter(({ state }) => state !== "success").length;
  const causes = [
    failed > 0 && `${failed} ${failed === 1 ? "video" : "videos"} did not complete`,
    leftOut.length > 0 && `${leftOut.length} ${leftOut.length === 1 ? "line was" : "lines were"} left out`,
  ].filter(Boolean);
  if (causes.length === 0) return "";
  const fix = failed > 0 ? "Fix the errors below, clear the failed runs," : "Fix the errors below";
  return (
    `The batch failed because ${causes.join(" and ")}. ${fix} and trigger the batch again. ` +
    "Completed videos are not paid for again."
  );
}

/**
 * Return the path of a run's tab within Airflow's UI.
 *
 * @param {{dag_id: string, run_id: string}} run
 */
export const tabPath = ({ dag_id: dagId, run_id: runId }) => uiPath("dags", dagId, "runs", runId, "plugin", "shorts");

/** The parameters of a list. They are removed when another tab is opened. */
const OF_A_LIST = ["search", "sort", "dag", "state", "rows", "until", "dag_id", "run_id"];

/**
 * Return an address with other parameters.
 *
 * @param {string} href
 * @param {Record<string, string | null>} changes null or empty: without this parameter
 */
export function changed(href, changes) {
  const address = new URL(href);
  for (const [name, value] of Object.entries(changes)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  return address;
}

/**
 * Return the changes that open another tab.
 *
 * @param {string} view
 */
export const opening = (view) => ({ ...Object.fromEntries(OF_A_LIST.map((name) => [name, null])), view });
