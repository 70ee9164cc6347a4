/** What the tab has Airflow do, and what it says that costs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { canExport, clearOrder, exportOrder, morePrefix } from "../../../plugins/klap_provider/ui/static/orders.js";
import { billOf, toggled } from "../../../plugins/klap_provider/ui/static/pick.js";

const PARAMS = { klap_task_id: {}, project_ids: {}, review: {}, budget: {}, limit: {} };
const CONF = { source_video_url: "https://example.com/a.mp4", limit: 2, review: true, budget: 3, destination: "/data" };
const STORY = {
  name: "Böse Überraschung: Teil 1/2",
  klapTaskId: "task01",
  isWhole: false,
  source: { text: "https://example.com/a.mp4", href: null },
};
const order = (more = {}) => exportOrder({ conf: CONF, story: STORY, params: PARAMS, ids: ["a", "b"], ...more });

test("further shorts are exported as the run would, of the same task, without a question and without a second budget", () => {
  assert.deepEqual(order().conf, {
    source_video_url: "https://example.com/a.mp4",
    limit: 2,
    review: false,
    budget: null,
    destination: "/data",
    klap_task_id: "task01",
    project_ids: ["a", "b"],
  });
});

test("a run that was started by a schedule has no settings of its own, and its video is known all the same", () => {
  assert.equal(order({ conf: null }).conf.source_video_url, "https://example.com/a.mp4");
});

test("the same order has the same id, and any other one another", () => {
  assert.equal(order().dag_run_id, order().dag_run_id);
  const ids = [
    order(),
    order({ ids: ["a"] }),
    order({ ids: ["a", "c"] }),
    order({ watermark: { src_url: "https://x/y.png" } }),
  ];
  ids.push(order({ conf: { ...CONF, destination: "/other" } }));
  assert.equal(new Set(ids.map(({ dag_run_id }) => dag_run_id)).size, ids.length);
});

test("its id is one that Airflow allows, begins with Klap's task, and can be read", () => {
  const { dag_run_id, note } = order();
  assert.match(dag_run_id, /^[A-Za-z0-9_.~:+-]+$/);
  assert.ok(dag_run_id.startsWith(morePrefix("task01")));
  assert.equal(note, "Böse Überraschung: Teil 1/2: 2 more shorts");
  assert.match(order({ ids: ["a"] }).note, /: 1 more short$/);
});

test("with another watermark it says so, and of a whole video it names no shorts", () => {
  const watermark = { src_url: "https://x/y.png", pos_x: 0.5, pos_y: 0.1, scale: 2 };
  const { conf, note } = order({ story: { ...STORY, isWhole: true }, watermark });
  assert.equal(conf.watermark_src_url, "https://x/y.png");
  assert.equal(conf.watermark_pos_y, 0.1);
  assert.equal("project_ids" in conf, false);
  assert.match(note, /: another watermark, y\.png$/);
});

test("of the address of a watermark, which may be a secret, the note has the name of the file alone", () => {
  const noteOf = (src_url) => order({ watermark: { src_url, pos_x: 0.5, pos_y: 0.5, scale: 1 } }).note;
  assert.match(noteOf("s3://aws@marks/brand/acme.png?X-Amz-Signature=secret"), /: another watermark, acme\.png$/);
  assert.match(noteOf("https://user:secret@example.com"), /: another watermark$/);
  assert.match(noteOf(null), /: no watermark$/);
});

test("a form without these fields cannot be told to export just these", () => {
  assert.equal(canExport(PARAMS, false), true);
  assert.equal(canExport({ klap_task_id: {} }, false), false);
  assert.equal(canExport({ klap_task_id: {} }, true), true);
  for (const none of [null, undefined, {}]) assert.equal(canExport(none, true), false);
});

test("mapped tasks are cleared by their index, others by their name, and never while they run", () => {
  const places = [
    { taskId: "submit", mapIndex: -1 },
    { taskId: "short.export", mapIndex: 2 },
  ];
  const body = clearOrder("a run", places, true);
  assert.deepEqual(body.task_ids, ["submit", ["short.export", 2]]);
  assert.deepEqual([body.dry_run, body.only_failed, body.prevent_running_task], [false, true, true]);
  assert.equal("task_ids" in clearOrder("a run", null, true), false);
});

const offer = { price: 0.48, secondHand: true, room: null, deadline: null };
const shorts = (...exported) => exported.map((each, id) => ({ id, exported: each }));

test("what was exported before is free, and prices that nobody has confirmed are called so", () => {
  const bill = billOf(shorts(false, true, false), offer);
  assert.equal(bill.total, 0.96);
  assert.equal(bill.words, "2 × $0.48, a second-hand price · 1 exported before, and free");
  assert.equal(billOf(shorts(false), { ...offer, secondHand: false }).words, "1 × $0.48");
});

test("beyond the budget nothing is paid, and it is said what happens then", () => {
  const bill = billOf(shorts(false, false, false), { ...offer, room: 2 });
  assert.equal(bill.total, 0.96);
  assert.match(bill.words, /the budget does for 2: the best 2 are exported$/);
  assert.match(billOf(shorts(false), { ...offer, room: 2 }).words, /the budget does for 1 more$/);
});

test("without a price there is no sum", () => {
  assert.deepEqual(billOf(shorts(false), null), { total: null, words: "" });
});

test("to toggle is to add, or to take back", () => {
  assert.deepEqual([...toggled(new Set(["a"]), "b")], ["a", "b"]);
  assert.deepEqual([...toggled(new Set(["a", "b"]), "a")], ["b"]);
});
