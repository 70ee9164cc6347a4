/** The one loop that asks the server: when it asks, when not, and which answer is shown. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../../plugins/klap_provider/ui/static/api.js";
import { LATER, Polling, SOON, TIMEOUT } from "../../../plugins/klap_provider/ui/static/polling.js";

/** A browser whose time the test drives, and a server that answers when the test says so. */
function stage({ pause = () => 3, isEager = false } = {}) {
  let [now, isHidden, listen] = [0, false, null];
  const timers = new Set();
  const [asked, shown, failed] = [[], [], []];
  const clock = {
    now: () => now,
    setTimeout: (work, ms) => {
      const timer = { work, at: now + ms };
      timers.add(timer);
      return timer;
    },
    clearTimeout: (timer) => timers.delete(timer),
    isHidden: () => isHidden,
    onLook: (each) => {
      listen = each;
      return () => (listen = null);
    },
  };
  const ask = (signal) =>
    new Promise((resolve, reject) => {
      asked.push({ at: now, answer: resolve, fail: reject, signal });
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const loop = new Polling(
    { ask, show: (answer) => shown.push(answer), fail: (error) => failed.push(error.message), pause, isEager },
    clock,
  );
  const settle = () => new Promise((done) => setImmediate(done));
  return {
    loop,
    asked,
    shown,
    failed,
    answer: async (value) => {
      asked.at(-1).answer(value);
      await settle();
    },
    refuse: async (error) => {
      asked.at(-1).fail(error);
      await settle();
    },
    /** Let time pass, and with it what was to happen meanwhile. */
    pass: async (ms) => {
      const end = now + ms;
      for (;;) {
        const next = [...timers].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
        if (!next) break;
        timers.delete(next);
        now = next.at;
        next.work();
        await settle();
      }
      now = end;
    },
    hide: () => (isHidden = true),
    look: async () => {
      isHidden = false;
      listen?.();
      await settle();
    },
  };
}

test("a poll follows the answer, and never the clock: there is one request at a time", async () => {
  const { loop, asked, shown, answer, pass } = stage();
  loop.start();
  await pass(TIMEOUT - 1);
  assert.equal(asked.length, 1, "the answer is late, and nothing else is asked");
  await answer("one");
  await pass(LATER - 1);
  assert.equal(asked.length, 1);
  await pass(1);
  assert.equal(asked.length, 2);
  assert.deepEqual(shown, ["one"]);
});

test("in half an hour there are no more than 200 requests", async () => {
  const { loop, asked, answer, pass } = stage({ isEager: true });
  loop.start();
  for (let second = 0; second < 1800; second += 1) {
    await answer("same");
    await pass(1000);
  }
  assert.ok(asked.length > 150 && asked.length <= 200, String(asked.length));
});

test("Airflow's own interval is honoured where it is longer", async () => {
  const { loop, asked, answer, pass } = stage({ pause: () => 60 });
  loop.start();
  await answer("one");
  await pass(59_999);
  assert.equal(asked.length, 1);
  await pass(1);
  assert.equal(asked.length, 2);
});

test("what has ended is asked about only when somebody looks again, and for a while after an action", async () => {
  const { loop, asked, answer, pass, look } = stage({ pause: () => null, isEager: true });
  loop.start();
  await answer("ended");
  await pass(3_600_000);
  assert.equal(asked.length, 1);
  await look();
  assert.equal(asked.length, 2);
  await answer("ended");
  loop.now();
  for (let second = 0; second < 60; second += 1) {
    await answer("ended");
    await pass(1000);
  }
  assert.ok(asked.length > 4 && asked.length < 10, String(asked.length));
});

test("nothing is asked in a hidden tab, and at once when somebody looks", async () => {
  const { loop, asked, answer, pass, hide, look } = stage();
  loop.start();
  await answer("one");
  hide();
  await pass(3_600_000);
  assert.equal(asked.length, 1);
  await look();
  assert.equal(asked.length, 2);
  await look();
  assert.equal(asked.length, 2, "focus and visibility tell the same");
  await answer("two");
  await pass(LATER);
  assert.equal(asked.length, 3, "it goes on");
});

test("an answer to what was asked before an action is not shown after it", async () => {
  const { loop, asked, shown, answer } = stage();
  loop.start();
  const [before] = asked;
  loop.now();
  assert.equal(before.signal.aborted, true);
  await answer("after");
  before.answer("before");
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(shown, ["after"]);
});

test("after failures it waits longer each time, and no longer when there is an answer", async () => {
  const { loop, asked, failed, answer, refuse, pass } = stage();
  loop.start();
  const pauses = [];
  for (let time = 0; time < 6; time += 1) {
    await refuse(new Error("no network"));
    const before = asked.length;
    let waited = 0;
    for (; asked.length === before; waited += 1000) await pass(1000);
    pauses.push(waited / 1000);
  }
  assert.deepEqual(pauses, [5, 10, 20, 40, 60, 60]);
  assert.equal(failed.length, 6);
  await answer("there");
  await pass(LATER);
  await refuse(new Error("no network"));
  await pass(5000);
  assert.equal(asked.length, 9);
});

test("without a session nothing is asked until somebody looks; whoever may not see it is asked for again", async () => {
  const { loop, asked, refuse, pass, look } = stage();
  loop.start();
  await refuse(new ApiError(401, "Not authenticated"));
  await pass(3_600_000);
  assert.equal(asked.length, 1);
  await look();
  await refuse(new ApiError(403, "Invalid JWT token"));
  await pass(10_000);
  assert.equal(asked.length, 3);
});

test("an answer that takes too long is given up, and asked for again", async () => {
  const { loop, asked, failed, shown, pass } = stage();
  loop.start();
  await pass(TIMEOUT);
  assert.deepEqual(failed, ["it took too long"]);
  await pass(5000);
  assert.equal(asked.length, 2);
  assert.deepEqual(shown, []);
});

test("when it is stopped it asks nothing and shows nothing any more", async () => {
  const { loop, asked, shown, failed, pass, look, answer } = stage();
  loop.start();
  loop.stop();
  await answer("late");
  await pass(3_600_000);
  await look();
  loop.now();
  assert.deepEqual([asked.length, shown, failed], [1, [], []]);
  assert.ok(SOON < LATER);
});
