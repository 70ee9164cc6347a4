/** What the tab has Airflow do, and what it says that costs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { clearRequest } from "../../../plugins/klap_provider/ui/static/clear-request.js";
import { selectionCost, toggled } from "../../../plugins/klap_provider/ui/static/selection.js";

test("mapped tasks are cleared by their index, others by their name, and never while they run", () => {
  const tasks = [
    { task_id: "submit", map_index: -1 },
    { task_id: "short.export", map_index: 2 },
  ];
  const body = clearRequest("a run", tasks, true);
  assert.deepEqual(body.task_ids, ["submit", ["short.export", 2]]);
  assert.deepEqual([body.dry_run, body.only_failed, body.prevent_running_task], [false, true, true]);
  assert.equal("task_ids" in clearRequest("a run", null, true), false);
});

const offer = { price: 0.48, estimated: true, covered: null, deadline: null };
const shorts = (...exported) => exported.map((each, id) => ({ id, exported: each }));

test("a short that was already exported is free, and estimated prices are marked", () => {
  const cost = selectionCost(shorts(false, true, false), offer);
  assert.equal(cost.total, 0.96);
  assert.equal(cost.text, "2 × $0.48 (estimated) · 1 already exported (free)");
  assert.equal(selectionCost(shorts(false), { ...offer, estimated: false }).text, "1 × $0.48");
});

test("nothing over the budget is paid, and the text tells which shorts are exported", () => {
  const cost = selectionCost(shorts(false, false, false), { ...offer, covered: 2 });
  assert.equal(cost.total, 0.96);
  assert.match(cost.text, /the budget covers 2: the best 2 are exported$/);
  assert.match(selectionCost(shorts(false), { ...offer, covered: 2 }).text, /the budget covers 1 more$/);
});

test("without a price there is no sum", () => {
  assert.deepEqual(selectionCost(shorts(false), null), { total: null, text: "" });
});

test("to toggle is to add, or to take back", () => {
  assert.deepEqual([...toggled(new Set(["a"]), "b")], ["a", "b"]);
  assert.deepEqual([...toggled(new Set(["a", "b"]), "a")], ["b"]);
});
