/** Words and numbers of the page. Pure. */
import { momentWords, pathOf } from "../words.js";

const DOLLARS = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

/** US dollars for a reader; a dash where nobody knows. */
export const dollars = (amount) => (amount === null || amount === undefined ? "–" : DOLLARS.format(amount));

/** The price of one thing, for a reader. */
export const price = ({ cost, estimated }) =>
  `${dollars(cost)}${estimated ? " (estimated price)" : ""}`;

/** How many of something there are, and what all of them cost. */
export const found = ({ total, cost, estimated }, what) => {
  const count = total === 1 ? `1 ${what}` : `${total.toLocaleString("en-US")} ${what}s`;
  return `${count}, ${dollars(cost)}${estimated ? " at estimated prices" : ""}`;
};

/** What an estimated price is. */
export const SECOND_HAND =
  "Estimated prices are Klap's list prices, which the connection does not set and Klap has not confirmed.";

/** Since when a person is waited for, and until when, as far as that is known. */
export const waiting = (since, until) =>
  `since ${momentWords(since)}${until === null ? "" : `, until ${momentWords(until)}`}`;

/** Times to choose from. */
export const PERIODS = { all: "All times", week: "Last 7 days", month: "This month", before: "Last month" };

/** The first and the last day of one of {@link PERIODS}, as far as it has them: those of UTC, as in the ledger. */
export function daysOf(period, now) {
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  const iso = (...date) => new Date(Date.UTC(...date)).toISOString().slice(0, 10);
  if (period === "week") return { since: iso(year, month, day - 6) };
  if (period === "month") return { since: iso(year, month, 1) };
  return period === "before" ? { since: iso(year, month - 1, 1), until: iso(year, month, 0) } : {};
}

/** An address without what says least, in the parts between which it may break; any other text likewise. */
export const addressParts = (text) => text.replace(/^https?:\/\//, "").split(/(?<=[?&=_-]|[^:/]\/)/);

/** What came of a run, in a word or two. */
export function outcome({ batch, shorts }) {
  if (batch) return batch === 1 ? "1 video" : `${batch} videos`;
  return shorts === 0 ? "–" : String(shorts);
}

/** What Klap's calls do, for a reader. */
const SENT = { "video-to-shorts": "Video, to be cut into shorts", "video-to-video": "Video, to be captioned as a whole" };

/** What a request was for, in the words of the ledger, for a reader. */
export function forWhat(what) {
  if (!what) return "–";
  const [call, name] = what.split(/ of (.*)/s);
  if (SENT[call]) return name ? `${SENT[call]}: ${name}` : SENT[call];
  return `${what[0].toUpperCase()}${what.slice(1)}`;
}

/** What has become of a batch: `left_out` are lines of its list that were not made a run of. */
export function tally({ videos, left_out: leftOut }) {
  const all = videos.length + leftOut.length;
  if (all === 0) return "No video is at work yet.";
  const done = videos.filter(({ state }) => state === "success").length;
  return `${done} of ${all} ${all === 1 ? "video" : "videos"} complete.`;
}

/** Why a batch that has ended is red, and what to do; nothing if it is not. */
export function whyRed({ videos, left_out: leftOut }) {
  const failed = videos.filter(({ state }) => state !== "success").length;
  const were = (count) => (count === 1 ? "was" : "were");
  const causes = [
    [failed, `of its videos ${were(failed)} not completed`, "do as their rows say"],
    [leftOut.length, `${were(leftOut.length)} left out`, "correct what the list has there"],
  ].filter(([count]) => count > 0);
  if (causes.length === 0) return "";
  const why = causes.map(([count, what]) => `${count} ${what}`).join(" and ");
  const advice = causes.map((each) => each.at(-1)).join(", ");
  return `It is red because ${why}: ${advice}, and trigger the batch again. What was finished is not paid for again.`;
}

/** The address of a run's tab, below Airflow's own. */
export const tabOf = ({ dag_id: dagId, run_id: runId }) =>
  pathOf("dags", dagId, "runs", runId, "plugin", "shorts");
