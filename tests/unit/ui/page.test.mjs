/** The words of the page Klap. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  addressParts,
  daysOf,
  dollars,
  forWhat,
  found,
  outcome,
  price,
  tabOf,
  tally,
  waiting,
  whyRed,
} from "../../../plugins/klap_provider/ui/static/page/words.js";
import { costOf, momentWords } from "../../../plugins/klap_provider/ui/static/words.js";

test("an address breaks between its parts, and a name between its words", () => {
  assert.deepEqual(addressParts("https://media.example.com/talks/my-talk.mp4?…d7fa6356"), [
    "media.example.com/",
    "talks/",
    "my-",
    "talk.mp4?",
    "…d7fa6356",
  ]);
  assert.deepEqual(addressParts("s3://media@bucket/a.mp4"), ["s3://media@bucket/", "a.mp4"]);
  assert.deepEqual(addressParts("From zero to hero"), ["From zero to hero"]);
});

test("money is in dollars and cents, and a dash where nobody knows", () => {
  assert.deepEqual([dollars(1234.5), dollars(0), dollars(null)], ["$1,234.50", "$0.00", "–"]);
});

test("a price that nobody at Klap has confirmed says so", () => {
  assert.equal(price({ cost: 0.48, estimated: true }), "$0.48 (estimated price)");
  assert.equal(price({ cost: 0.48, estimated: false }), "$0.48");
  assert.equal(price({ cost: null, estimated: false }), "–");
});

/** A browser in which Airflow has kept this choice, as long as `look` takes. */
function withZone(kept, look) {
  const given = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
  const localStorage = { getItem: (key) => (key === "timezone" ? kept : null) };
  Object.defineProperty(globalThis, "localStorage", { configurable: true, value: localStorage });
  try {
    return look();
  } finally {
    Object.defineProperty(globalThis, "localStorage", given ?? { configurable: true, value: undefined });
  }
}

test("a moment is written as Airflow writes it, in the time zone that was chosen there", () => {
  const moment = "2026-01-03T23:30:05+00:00";
  assert.equal(momentWords(moment, "UTC"), "2026-01-03 23:30:05");
  assert.equal(withZone('"Asia/Tokyo"', () => momentWords(moment)), "2026-01-04 08:30:05");
  const own = momentWords(moment, undefined);
  for (const odd of [null, "Asia/Tokyo", '"Mars/Olympus"', "{}"]) {
    assert.equal(withZone(odd, () => momentWords(moment)), own, "and in the browser's where none was");
  }
});

test("who waits is told since when, and until when, as far as that is known", () => {
  const since = "2026-01-03T12:00:00Z";
  const until = "2026-01-04T12:00:00Z";
  assert.equal(waiting(since, until), `since ${momentWords(since)}, until ${momentWords(until)}`);
  assert.equal(waiting(since, null), `since ${momentWords(since)}`);
});

const videos = (...states) => states.map((state) => ({ state }));

test("a batch counts all lines of its list, those that were left out, too", () => {
  assert.equal(tally({ videos: videos("success", "running"), left_out: [{}] }), "1 of 3 videos complete.");
  assert.equal(tally({ videos: videos("success"), left_out: [] }), "1 of 1 video complete.");
  assert.equal(tally({ videos: [], left_out: [] }), "No video is at work yet.");
});

test("a red batch says why it is red", () => {
  const why = (videos, leftOut) => whyRed({ videos, left_out: leftOut });
  assert.match(why(videos("success", "success"), [{}]), /^It is red because 1 was left out: correct .*, and trigger the batch again\./);
  assert.match(
    why(videos("success", "failed", "upstream_failed"), [{}, {}]),
    /because 2 of its videos were not completed and 2 were left out: do as their rows say, correct /,
  );
  assert.equal(whyRed({ videos: videos("success"), left_out: [] }), "");
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

test("the address of what a run has paid for is right whatever its id is", () => {
  const address = costOf({ dag_id: "a", run_id: "manual__2026-01-01T00:00:00+00:00&x" });
  assert.equal(address, "/plugin/klap?view=cost&dag_id=a&run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00%26x");
});

test("what was found is counted and summed up", () => {
  assert.equal(found({ total: 1, cost: 0.48, estimated: false }, "short"), "1 short, $0.48");
  assert.equal(found({ total: 1500, cost: 720, estimated: true }, "short"), "1,500 shorts, $720.00 at estimated prices");
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
