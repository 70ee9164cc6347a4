/** The words of the tab that the browser writes. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clock,
  costWords,
  fileSize,
  money,
  pathOf,
  priceWords,
  stageWords,
  stateName,
} from "../../../plugins/klap_provider/ui/static/words.js";

const NOW = new Date("2026-01-01T12:00:00Z");

test("states, lengths and sizes read as in Airflow and as people write them", () => {
  assert.deepEqual([stateName("up_for_retry"), stateName(null)], ["Up For Retry", "No Status"]);
  assert.deepEqual([stateName("deferred"), stateName("awaiting_input")], ["Waiting", "Waiting For You"]);
  assert.deepEqual([clock(59.6), clock(125)], ["1:00", "2:05"]);
  assert.deepEqual([fileSize(15_001), fileSize(1_840_000), fileSize(2.5e9)], ["16 kB", "1.8 MB", "2.50 GB"]);
});

test("money says whether it is estimated, and an unknown price is not free", () => {
  assert.deepEqual([money(0), money(0.96), money(0.0125), money(12)], ["free", "$0.96", "$0.0125", "$12.00"]);
  assert.equal(priceWords({ price: 0.48, estimated: true }), "$0.48 (estimated price)");
  assert.equal(priceWords({ price: 0.48, estimated: false }), "$0.48");
  assert.equal(priceWords({ price: null, estimated: true }), "price unknown");
  assert.equal(costWords({ total: 4.12, estimated: true }), "$4.12 at estimated prices");
  assert.equal(costWords({ total: 0, estimated: false }), "$0.00");
});

test("while Klap works it is said for how long", () => {
  const since = (minutes) => new Date(NOW - minutes * 60_000).toISOString();
  const words = (minutes) => stageWords({ words: "Waiting for Klap", since: since(minutes) }, NOW);
  assert.equal(words(75), "Waiting for Klap for 1 h 15 min");
  assert.equal(words(0), "Waiting for Klap");
  assert.equal(stageWords({ words: "Delivered", since: null }, NOW), "Delivered");
});

test("a link is written as Airflow writes its own, which knows by it on which page one is", () => {
  const run = ["dags", "d", "runs", "manual__2026-01-01T00:00:00+00:00"];
  assert.equal(pathOf(...run, "mapped", 3), "/dags/d/runs/manual__2026-01-01T00:00:00+00:00/mapped/3");
  assert.equal(pathOf("dags", "100%/a?b#c"), "/dags/100%25%2Fa%3Fb%23c");
});
