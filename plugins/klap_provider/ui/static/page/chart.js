/**
 * The bars and the grid lines of the cost chart. Pure.
 *
 * @typedef {{key: string, label: string, total: number, parts: {dagId: string, from: number, to: number}[]}} Column
 */

/** Maximum number of days with a column for each day. */
const MOST_DAYS = 100;
const DAY = 24 * 60 * 60 * 1000;

/**
 * Return what a column of a chart is: a day, or a month if there are many days.
 *
 * @param {string} first day
 * @param {string} last day
 * @returns {"day" | "month"}
 */
export const unitOf = (first, last) =>
  new Date(last).getTime() - new Date(first).getTime() < MOST_DAYS * DAY ? "day" : "month";

/**
 * Return the columns of a chart, oldest first, including those without spending.
 *
 * @param {DayCost[]} days
 * @param {string} first day, `YYYY-MM-DD`
 * @param {string} last day
 * @param {string[]} dagIds in the order in which they are stacked
 * @returns {Column[]}
 */
export function columns(days, first, last, dagIds) {
  const unit = unitOf(first, last);
  const length = unit === "day" ? 10 : 7;
  const sums = new Map();
  for (const { day, dag_id: dagId, cost } of days) {
    const key = `${day.slice(0, length)} ${dagId}`;
    sums.set(key, (sums.get(key) ?? 0) + cost);
  }
  return starts(unit, first, last).map((start) => {
    const key = start.toISOString().slice(0, length);
    let total = 0;
    const parts = dagIds.flatMap((dagId) => {
      const cost = sums.get(`${key} ${dagId}`) ?? 0;
      const from = total;
      total += cost;
      return cost > 0 ? [{ dagId, from, to: total }] : [];
    });
    return { key, label: labelOf(start, unit), total, parts };
  });
}

function starts(/** @type {"day" | "month"} */ unit, /** @type {string} */ first, /** @type {string} */ last) {
  const found = [];
  const start = new Date(unit === "day" ? first : `${first.slice(0, 7)}-01`);
  while (start <= new Date(last)) {
    found.push(new Date(start));
    if (unit === "day") start.setUTCDate(start.getUTCDate() + 1);
    else start.setUTCMonth(start.getUTCMonth() + 1);
  }
  return found;
}

function labelOf(/** @type {Date} */ start, /** @type {"day" | "month"} */ unit) {
  const month = start.toLocaleDateString("en-GB", { month: "short", timeZone: "UTC" });
  return unit === "day" ? `${start.getUTCDate()} ${month}` : `${month} ${start.getUTCFullYear()}`;
}

/** Return the values of the grid lines: round numbers from 0 to at least `most`. */
export function lines(/** @type {number} */ most) {
  if (most <= 0) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((each) => each * power >= rough) ?? 10);
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}
