/** The texts of the Klap page. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  addressParts,
  changed,
  countText,
  dayText,
  dollars,
  failureText,
  firstDay,
  itemText,
  limitUse,
  oneOf,
  opening,
  percentOf,
  periodText,
  priceNote,
  progressText,
  requestText,
  searchText,
  shortsText,
  tabPath,
  waiting,
  withoutEmpty,
} from "../../../plugins/klap_provider/ui/static/page/texts.js";
import { costPath, timeText } from "../../../plugins/klap_provider/ui/static/texts.js";

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

test("an amount is in dollars and cents, and a dash if it is unknown", () => {
  assert.deepEqual([dollars(1234.5), dollars(0), dollars(null)], ["$1,234.50", "$0.00", "–"]);
});

test("the note on estimated prices tells whether all or some are estimated", () => {
  const [estimated, confirmed, unknown] = [
    { cost: 0.48, estimated: true },
    { cost: 0.48, estimated: false },
    { cost: null, estimated: false },
  ];
  assert.match(priceNote([estimated, unknown]), /^Prices are estimated: /);
  assert.match(priceNote([estimated, confirmed]), /^Some prices are estimated: /);
  assert.equal(priceNote([confirmed, unknown]), "");
});

/** A browser in which Airflow has kept this choice, while `work` runs. */
function withZone(kept, work) {
  const given = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
  const localStorage = { getItem: (key) => (key === "timezone" ? kept : null) };
  Object.defineProperty(globalThis, "localStorage", { configurable: true, value: localStorage });
  try {
    return work();
  } finally {
    Object.defineProperty(globalThis, "localStorage", given ?? { configurable: true, value: undefined });
  }
}

test("a time is formatted as in Airflow, in the time zone that was chosen there", () => {
  const moment = "2026-01-03T23:30:05+00:00";
  assert.equal(timeText(moment, "UTC"), "2026-01-03 23:30:05");
  assert.equal(
    withZone('"Asia/Tokyo"', () => timeText(moment)),
    "2026-01-04 08:30:05",
  );
  const own = timeText(moment, undefined);
  for (const odd of [null, "Asia/Tokyo", '"Mars/Olympus"', "{}"]) {
    assert.equal(
      withZone(odd, () => timeText(moment)),
      own,
      "that of the browser, if none was chosen",
    );
  }
});

test("an open review has a start, and a deadline if there is one", () => {
  const since = "2026-01-03T12:00:00Z";
  const until = "2026-01-04T12:00:00Z";
  assert.equal(waiting(since, until), `since ${timeText(since)}, until ${timeText(until)}`);
  assert.equal(waiting(since, null), `since ${timeText(since)}`);
});

const videos = (...states) => states.map((state) => ({ state }));

test("a batch counts all lines of its list, including those that were left out", () => {
  assert.equal(progressText({ videos: videos("success", "running"), left_out: [{}] }), "1 of 3 videos complete.");
  assert.equal(progressText({ videos: videos("success"), left_out: [] }), "1 of 1 video complete.");
  assert.equal(progressText({ videos: [], left_out: [] }), "No video has started yet.");
});

test("a failed batch has a cause and an action", () => {
  const why = (videos, leftOut) => failureText({ videos, left_out: leftOut });
  assert.match(
    why(videos("success", "success"), [{}]),
    /^The batch failed because 1 line was left out\. Fix .* and trigger the batch again\./,
  );
  assert.match(
    why(videos("success", "failed", "upstream_failed"), [{}, {}]),
    /because 2 videos did not complete and 2 lines were left out\. Fix .*, clear the failed runs, and trigger the batch again\./,
  );
  assert.equal(failureText({ videos: videos("success"), left_out: [] }), "");
});

test("a batch counts its videos, any other run its shorts", () => {
  assert.equal(shortsText({ batch: 0, shorts: 3 }), "3");
  assert.equal(shortsText({ batch: 0, shorts: 0 }), "–");
  assert.equal(shortsText({ batch: 1, shorts: 0 }), "1 video");
  assert.equal(shortsText({ batch: 12, shorts: 0 }), "12 videos");
});

test("the address of a run's tab is right whatever its id is", () => {
  const address = tabPath({ dag_id: "a", run_id: "manual__2026-01-01T00:00:00+00:00/2" });
  assert.equal(address, "/dags/a/runs/manual__2026-01-01T00:00:00+00:00%2F2/plugin/shorts");
});

test("the address of what a run has paid for is right whatever its id is", () => {
  const address = costPath({ dag_id: "a", run_id: "manual__2026-01-01T00:00:00+00:00&x" });
  assert.equal(address, "/plugin/klap?view=cost&dag_id=a&run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00%26x");
});

test("the results are counted and summed up", () => {
  assert.equal(countText({ total: 1, cost: 0.48, estimated: false }, "short"), "1 short, $0.48");
  assert.equal(countText({ total: 1500, cost: 720, estimated: true }, "short"), "1,500 shorts, $720.00 (estimated)");
});

test("a period is in UTC days, also across years", () => {
  const now = new Date("2026-01-03T23:30:00-05:00"); // in London it is the 4th
  assert.equal(dayText(now), "2026-01-04");
  assert.equal(dayText(new Date("2026-01-01"), 1), "2025-12-31");
  assert.equal(firstDay("30", now), "2025-12-06");
  assert.equal(firstDay("365", now), "2025-01-05");
  assert.equal(firstDay("month", now), "2026-01-01");
  assert.equal(firstDay("all", now), "0001-01-01");
});

test("a period has the days that are included in its name, if these are not all of them", () => {
  const now = new Date("2026-01-03T12:00:00Z");
  const name = (period, since, until = null) => periodText({ name: period, until }, since, now);
  assert.equal(name("30", firstDay("30", now)), "in the last 30 days");
  assert.equal(name("365", firstDay("365", now)), "in the last year");
  assert.equal(name("month", firstDay("month", now)), "this month");
  assert.equal(name("all", "0001-01-01"), "in total");
  assert.equal(name("all", "2025-10-01"), "from 2025-10-01 to 2026-01-03");
  assert.equal(name("all", "0001-01-01", "2025-09-30"), "from 0001-01-01 to 2025-09-30");
});

test("a paid request has a name", () => {
  assert.equal(
    requestText("video-to-shorts of State of the art of cutting"),
    "Generate shorts: State of the art of cutting",
  );
  assert.equal(requestText("video-to-video"), "Caption a video");
  assert.equal(requestText("export of From zero to hero"), "Export of From zero to hero");
  assert.equal(requestText("7 generated shorts"), "7 generated shorts");
  assert.equal(requestText(null), "–");
});

test("a monthly limit shows what it limits and how far it is used", () => {
  const limit = { kind: "connection", name: "klap_default", limit: 100, used: 83.2, warns: false };
  assert.deepEqual(limitUse(limit), {
    label: "Monthly limit of the connection klap_default",
    percent: 83,
    isReached: false,
  });
  assert.deepEqual(limitUse({ ...limit, kind: "dag", name: "shorts", used: 120, warns: true }), {
    label: "Monthly limit of the Dag shorts (warning only)",
    percent: 100,
    isReached: true,
  });
  assert.equal(limitUse({ ...limit, limit: 0, used: 0 }).isReached, true);
  assert.equal(limitUse({ ...limit, limit: 100, used: 99.6 }).isReached, false, "the bar is rounded, the limit is not");
});

test("the address keeps what is shown, and another tab begins without the filters", () => {
  const address = changed("https://a/airflow/plugin/klap?view=videos&period=90", { search: "a & b", state: null });
  assert.equal(address.search, "?view=videos&period=90&search=a+%26+b");
  assert.equal(changed(address.href, opening("cost")).search, "?view=cost&period=90");
});

test("the text for an empty list names the filters", () => {
  assert.equal(
    searchText({ search: "talk", dag: "d", state: "awaiting_input" }),
    'that matches "talk" of the Dag d in the state Waiting For You',
  );
  assert.equal(searchText({ search: "", dag: "" }), "");
});

test("an unknown choice in the address is the first choice, also if it is a name of every object", () => {
  const orders = { "-at": "Newest first", name: "By name" };
  assert.deepEqual(
    ["name", "size", "toString", undefined].map((given) => oneOf(orders, given)),
    ["name", "-at", "-at", "-at"],
  );
});

test("parameters without a value are not sent", () => {
  assert.deepEqual(withoutEmpty({ search: "", dag_id: undefined, limit: 25 }), { limit: 25 });
});

test("a bar is never shorter than nothing or longer than the whole", () => {
  assert.deepEqual([percentOf(-1, 4), percentOf(1, 3), percentOf(5, 4), percentOf(0, 0)], [0, 33, 100, 100]);
});

test("an item of a source has a state, and a reason or a time if there is one", () => {
  const [at, reason] = ["2026-01-03T12:00:00Z", "the monthly limit is reached"];
  const text = (list, item) => itemText(list, { id: "a", title: "A", run_id: "", at: null, reason: null, ...item });
  assert.equal(text("waiting", { at, reason }), "Waits: the monthly limit is reached");
  assert.equal(text("skipped", { reason }), "Skipped: the monthly limit is reached");
  assert.equal(text("started", { at, reason }), `Started ${timeText(at)}`);
  assert.deepEqual([text("waiting"), text("skipped"), text("started")], ["Waits", "Skipped", "Started"]);
});
