/** What the tab has Airflow do, and what it says that costs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { clearOrder } from "../../../plugins/klap_provider/ui/static/orders.js";
import { billOf, toggled } from "../../../plugins/klap_provider/ui/static/pick.js";

test("mapped tasks are cleared by their index, others by their name, and never while they run", () => {
  const places = [
    { task_id: "submit", map_index: -1 },
    { task_id: "short.export", map_index: 2 },
  ];
  const body = clearOrder("a run", places, true);
  assert.deepEqual(body.task_ids, ["submit", ["short.export", 2]]);
  assert.deepEqual([body.dry_run, body.only_failed, body.prevent_running_task], [false, true, true]);
  assert.equal("task_ids" in clearOrder("a run", null, true), false);
});

const offer = { price: 0.48, estimated: true, covered: null, deadline: null };
const shorts = (...exported) => exported.map((each, id) => ({ id, exported: each }));

test("what was exported before is free, and estimated prices are called so", () => {
  const bill = billOf(shorts(false, true, false), offer);
  assert.equal(bill.total, 0.96);
  assert.equal(bill.words, "2 × $0.48, an estimated price · 1 exported before, no cost");
  assert.equal(billOf(shorts(false), { ...offer, estimated: false }).words, "1 × $0.48");
});

test("beyond the budget nothing is paid, and it is said what happens then", () => {
  const bill = billOf(shorts(false, false, false), { ...offer, covered: 2 });
  assert.equal(bill.total, 0.96);
  assert.match(bill.words, /the budget covers 2: the best 2 are exported$/);
  assert.match(billOf(shorts(false), { ...offer, covered: 2 }).words, /the budget covers 1 more$/);
});

test("without a price there is no sum", () => {
  assert.deepEqual(billOf(shorts(false), null), { total: null, words: "" });
});

test("to toggle is to add, or to take back", () => {
  assert.deepEqual([...toggled(new Set(["a"]), "b")], ["a", "b"]);
  assert.deepEqual([...toggled(new Set(["a", "b"]), "a")], ["b"]);
});
