/**
 * The bars and the grid lines of the cost chart. Pure.
 *
 * @typedef {{day: string, dag_id: string, cost: number}} Spent on a day, `YYYY-MM-DD`
 * @typedef {{key: string, label: string, total: number, parts: {dagId: string, from: number, to: number}[]}} Column
 */

const DAYS = 30;
const MONTHS = 12;
const NAME = { month: "short", timeZone: "UTC" };

/**
 * Return the columns of a chart, oldest first, including those without spending.
 *
 * @param {Spent[]} days
 * @param {"day" | "month"} unit the last 30 days, or the last 12 months
 * @param {string[]} dagIds in the order in which they are stacked
 * @param {Date} now
 * @returns {Column[]}
 */
export function columns(days, unit, dagIds, now) {
  const length = unit === "day" ? 10 : 7;
  const sums = new Map();
  for (const { day, dag_id: dagId, cost } of days) {
    const key = `${day.slice(0, length)} ${dagId}`;
    sums.set(key, (sums.get(key) ?? 0) + cost);
  }
  return starts(unit, now).map((start) => {
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

/** Return the first day of a chart. */
export const firstDay = (unit, now) => starts(unit, now)[0].toISOString().slice(0, 10);

function starts(unit, now) {
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  const count = unit === "day" ? DAYS : MONTHS;
  return Array.from({ length: count }, (_, index) => {
    const back = count - 1 - index;
    return new Date(unit === "day" ? Date.UTC(year, month, day - back) : Date.UTC(year, month - back, 1));
  });
}

function labelOf(start, unit) {
  const month = start.toLocaleDateString("en-GB", NAME);
  return unit === "day" ? `${start.getUTCDate()} ${month}` : `${month} ${start.getUTCFullYear()}`;
}

/** Return the values of the grid lines: round numbers from 0 to at least `most`. */
export function lines(most) {
  if (most <= 0) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}
