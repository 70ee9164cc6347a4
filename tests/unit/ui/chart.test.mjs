/** The chart of money: which columns it has, and how high they are. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { columns, lines, unitOf } from "../../../plugins/klap_provider/ui/static/page/chart.js";

const TODAY = "2026-03-01";
const spent = (day, dag_id, cost) => ({ day, dag_id, cost });

test("there is a column for each day of a short period, also where nothing was paid", () => {
  const bars = columns([], "2026-01-31", TODAY, []);
  assert.equal(bars.length, 30);
  assert.deepEqual([bars[0].key, bars.at(-1).key], ["2026-01-31", "2026-03-01"]);
  assert.ok(bars.every(({ total, parts }) => total === 0 && parts.length === 0));
  assert.equal(columns([], TODAY, TODAY, []).length, 1);
});

test("there is a column for each month of a long period, over the end of a year", () => {
  const bars = columns([], "2025-04-29", TODAY, []);
  assert.deepEqual([bars.length, bars[0].key, bars.at(-1).key], [12, "2025-04", "2026-03"]);
  assert.equal(bars[0].label, "Apr 2025");
  assert.deepEqual([unitOf("2025-12-02", TODAY), unitOf("2025-04-29", TODAY)], ["day", "month"]);
});

test("the Dags of a day stand on each other, in the order of the legend", () => {
  const days = [spent("2026-03-01", "b", 2), spent("2026-03-01", "a", 1), spent("2026-02-28", "a", 4)];
  const [before, today] = columns(days, "2026-02-01", TODAY, ["a", "b"]).slice(-2);
  assert.deepEqual(before.parts, [{ dagId: "a", from: 0, to: 4 }]);
  assert.deepEqual(today.parts, [
    { dagId: "a", from: 0, to: 1 },
    { dagId: "b", from: 1, to: 3 },
  ]);
  assert.equal(today.total, 3);
});

test("the days of a month are one column", () => {
  const days = [spent("2026-02-01", "a", 1), spent("2026-02-28", "a", 2)];
  assert.equal(columns(days, "2025-04-01", TODAY, ["a"]).at(-2).total, 3);
});

test("what was paid before the first column is in none", () => {
  const before = [spent("2026-01-30", "a", 5)];
  assert.ok(columns(before, "2026-01-31", TODAY, ["a"]).every(({ total }) => total === 0));
});

for (const [most, expected] of [
  [0, [0, 1]],
  [0.44, [0, 0.2, 0.4, 0.6]],
  [4, [0, 1, 2, 3, 4]],
  [7.3, [0, 2, 4, 6, 8]],
  [1234, [0, 500, 1000, 1500]],
]) {
  test(`the lines behind ${most} are round, and reach it`, () => assert.deepEqual(lines(most), expected));
}
