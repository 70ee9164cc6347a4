/** Words and numbers of the page. Pure. */
import { pathOf } from "../words.js";

const DOLLARS = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

/** US dollars for a reader; a dash where nobody knows. */
export const dollars = (amount) => (amount === null || amount === undefined ? "–" : DOLLARS.format(amount));

/** The price of one thing, for a reader. */
export const price = ({ cost, second_hand: isSecondHand }) =>
  `${dollars(cost)}${isSecondHand ? " (second-hand price)" : ""}`;

/** How many shorts there are, and what all of them cost. */
export const found = ({ total, cost, second_hand: isSecondHand }) => {
  const shorts = total === 1 ? "1 short" : `${total.toLocaleString("en-US")} shorts`;
  return `${shorts}, ${dollars(cost)}${isSecondHand ? " at second-hand prices" : ""}`;
};

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

/** A moment for a reader, in the time zone of the browser. */
export const moment = (iso) => new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** For how long something has been so. */
export function since(iso, now) {
  const minutes = Math.max(0, Math.floor((now - new Date(iso)) / 60000));
  if (minutes < 1) return "less than a minute";
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2 * 24 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`;
}

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

/** The address of a run's tab, below Airflow's own. */
export const tabOf = ({ dag_id: dagId, run_id: runId }) =>
  pathOf("dags", dagId, "runs", runId, "plugin", "shorts");
