/** The texts of the tab that the browser writes. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clock,
  costText,
  fileSize,
  formatPrice,
  priceText,
  stageText,
  stateName,
  uiPath,
} from "../../../plugins/klap_provider/ui/static/texts.js";

const NOW = new Date("2026-01-01T12:00:00Z");

test("states, lengths and sizes are formatted", () => {
  assert.deepEqual([stateName("up_for_retry"), stateName(null)], ["Up For Retry", "No Status"]);
  assert.deepEqual([stateName("deferred"), stateName("awaiting_input")], ["Waiting", "Waiting For You"]);
  assert.deepEqual([clock(59.6), clock(125)], ["1:00", "2:05"]);
  assert.deepEqual([fileSize(15_001), fileSize(1_840_000), fileSize(2.5e9)], ["16 kB", "1.8 MB", "2.50 GB"]);
});

test("an estimated price is marked, and an unknown price is not free", () => {
  assert.deepEqual(
    [formatPrice(0), formatPrice(0.96), formatPrice(0.0125), formatPrice(12)],
    ["free", "$0.96", "$0.0125", "$12.00"],
  );
  assert.equal(priceText({ price: 0.48, estimated: true }), "$0.48 (estimated)");
  assert.equal(priceText({ price: 0.48, estimated: false }), "$0.48");
  assert.equal(priceText({ price: null, estimated: true }), "price unknown");
  assert.equal(costText({ total: 4.12, estimated: true }), "$4.12 (estimated)");
  assert.equal(costText({ total: 0, estimated: false }), "$0.00");
});

test("while the run waits for Klap, the text tells how long", () => {
  const since = (minutes) => new Date(NOW - minutes * 60_000).toISOString();
  const text = (minutes) => stageText({ text: "Waiting for Klap", since: since(minutes) }, NOW);
  assert.equal(text(75), "Waiting for Klap for 1 h 15 min");
  assert.equal(text(0), "Waiting for Klap");
  assert.equal(stageText({ text: "Delivered", since: null }, NOW), "Delivered");
});

test("a path is escaped as in Airflow's own links", () => {
  const run = ["dags", "d", "runs", "manual__2026-01-01T00:00:00+00:00"];
  assert.equal(uiPath(...run, "mapped", 3), "/dags/d/runs/manual__2026-01-01T00:00:00+00:00/mapped/3");
  assert.equal(uiPath("dags", "100%/a?b#c"), "/dags/100%25%2Fa%3Fb%23c");
});
