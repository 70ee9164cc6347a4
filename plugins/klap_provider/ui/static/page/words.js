/** Words and numbers of the page. Pure. */

const DOLLARS = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

/** US dollars for a reader; a dash where nobody knows. */
export const dollars = (amount) => (amount === null || amount === undefined ? "–" : DOLLARS.format(amount));

/** The price of one thing, for a reader. */
export const price = ({ cost, second_hand: isSecondHand }) =>
  `${dollars(cost)}${isSecondHand ? " (second-hand price)" : ""}`;

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

/** The address of a run's tab, below Airflow's own. */
export const tabOf = ({ dag_id: dagId, run_id: runId }) =>
  `/dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}/plugin/shorts`;
