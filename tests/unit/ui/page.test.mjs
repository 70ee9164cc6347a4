/** The words of the page Klap. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { daysOf, dollars, forWhat, found, outcome, price, since, tabOf } from "../../../plugins/klap_provider/ui/static/page/words.js";

test("money is in dollars and cents, and a dash where nobody knows", () => {
  assert.deepEqual([dollars(1234.5), dollars(0), dollars(null)], ["$1,234.50", "$0.00", "–"]);
});

test("a price that nobody at Klap has confirmed says so", () => {
  assert.equal(price({ cost: 0.48, second_hand: true }), "$0.48 (second-hand price)");
  assert.equal(price({ cost: 0.48, second_hand: false }), "$0.48");
  assert.equal(price({ cost: null, second_hand: false }), "–");
});

test("how long something waits is said in the largest unit that tells something", () => {
  const now = new Date("2026-01-03T12:00:00Z");
  const waits = ["2026-01-03T11:59:30Z", "2026-01-03T11:01:00Z", "2026-01-02T12:00:00Z", "2026-01-01T00:00:00Z"];
  assert.deepEqual(
    waits.map((each) => since(each, now)),
    ["less than a minute", "59 min", "24 h", "2 days"],
  );
  assert.equal(since("2026-01-03T12:00:05Z", now), "less than a minute", "the clock of the server is ahead");
});

test("a batch counts its videos, any other run its shorts", () => {
  assert.equal(outcome({ batch: 0, shorts: 3 }), "3");
  assert.equal(outcome({ batch: 0, shorts: 0 }), "–");
  assert.equal(outcome({ batch: 1, shorts: 0 }), "1 video");
  assert.equal(outcome({ batch: 12, shorts: 0 }), "12 videos");
});

test("the address of a run's tab is right whatever its id is", () => {
  const address = tabOf({ dag_id: "a", run_id: "manual__2026-01-01T00:00:00+00:00/2" });
  assert.equal(address, "/dags/a/runs/manual__2026-01-01T00:00:00+00:00%2F2/plugin/shorts");
});

test("what was found is counted and summed up", () => {
  assert.equal(found({ total: 1, cost: 0.48, second_hand: false }), "1 short, $0.48");
  assert.equal(found({ total: 1500, cost: 720, second_hand: true }), "1,500 shorts, $720.00 at second-hand prices");
});

test("a time to choose has the days of UTC, also where it goes back into another year", () => {
  const now = new Date("2026-01-03T23:30:00-05:00"); // in London it is the 4th
  assert.deepEqual(daysOf("all", now), {});
  assert.deepEqual(daysOf("week", now), { since: "2025-12-29" });
  assert.deepEqual(daysOf("month", now), { since: "2026-01-01" });
  assert.deepEqual(daysOf("before", now), { since: "2025-12-01", until: "2025-12-31" });
});

test("what was paid for is said in words", () => {
  assert.equal(forWhat("video-to-shorts of State of the art of cutting"), "Video, to be cut into shorts: State of the art of cutting");
  assert.equal(forWhat("video-to-video"), "Video, to be captioned as a whole");
  assert.equal(forWhat("export of From zero to hero"), "Export of From zero to hero");
  assert.equal(forWhat("7 generated shorts"), "7 generated shorts");
  assert.equal(forWhat(null), "–");
});
