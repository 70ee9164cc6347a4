/** The polling loop: when it polls, when it does not, and which response it shows. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../../plugins/klap_provider/ui/static/api.js";
import { LATER, Polling, SOON, TIMEOUT } from "../../../plugins/klap_provider/ui/static/polling.js";

/** A browser whose time the test drives, and a server that answers when the test says so. */
function stage({ pause = () => 3, isEager = false } = {}) {
  let [now, isHidden, listen] = [0, false, null];
  const timers = new Set();
  const [polls, shown, failed] = [[], [], []];
  const clock = {
    now: () => now,
    setTimeout: (work, ms) => {
      const timer = { work, at: now + ms };
      timers.add(timer);
      return timer;
    },
    clearTimeout: (timer) => timers.delete(timer),
    isHidden: () => isHidden,
    onVisible: (each) => {
      listen = each;
      return () => (listen = null);
    },
  };
  const load = (signal) =>
    new Promise((resolve, reject) => {
      polls.push({ at: now, respond: resolve, fail: reject, signal });
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const loop = new Polling(
    { load, show: (response) => shown.push(response), fail: (error) => failed.push(error.message), pause, isEager },
    clock,
  );
  const flush = () => new Promise((done) => setImmediate(done));
  return {
    loop,
    polls,
    shown,
    failed,
    respond: async (value) => {
      polls.at(-1).respond(value);
      await flush();
    },
    reject: async (error) => {
      polls.at(-1).fail(error);
      await flush();
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
        await flush();
      }
      now = end;
    },
    hide: () => (isHidden = true),
    reveal: async () => {
      isHidden = false;
      listen?.();
      await flush();
    },
  };
}

test("a poll follows the response, not the clock: there is one request at a time", async () => {
  const { loop, polls, shown, respond, pass } = stage();
  loop.start();
  await pass(TIMEOUT - 1);
  assert.equal(polls.length, 1, "the response is late, and there is no other poll");
  await respond("one");
  await pass(LATER - 1);
  assert.equal(polls.length, 1);
  await pass(1);
  assert.equal(polls.length, 2);
  assert.deepEqual(shown, ["one"]);
});

test("in half an hour there are no more than 200 requests", async () => {
  const { loop, polls, respond, pass } = stage({ isEager: true });
  loop.start();
  for (let second = 0; second < 1800; second += 1) {
    await respond("same");
    await pass(1000);
  }
  assert.ok(polls.length > 150 && polls.length <= 200, String(polls.length));
});

test("Airflow's own interval is honoured where it is longer", async () => {
  const { loop, polls, respond, pass } = stage({ pause: () => 60 });
  loop.start();
  await respond("one");
  await pass(59_999);
  assert.equal(polls.length, 1);
  await pass(1);
  assert.equal(polls.length, 2);
});

test("a run that has ended is polled only when the page becomes visible, and for a while after an action", async () => {
  const { loop, polls, respond, pass, reveal } = stage({ pause: () => null, isEager: true });
  loop.start();
  await respond("ended");
  await pass(3_600_000);
  assert.equal(polls.length, 1);
  await reveal();
  assert.equal(polls.length, 2);
  await respond("ended");
  loop.now();
  for (let second = 0; second < 60; second += 1) {
    await respond("ended");
    await pass(1000);
  }
  assert.ok(polls.length > 4 && polls.length < 10, String(polls.length));
});

test("a hidden page does not poll, and polls at once when it becomes visible", async () => {
  const { loop, polls, respond, pass, hide, reveal } = stage();
  loop.start();
  await respond("one");
  hide();
  await pass(3_600_000);
  assert.equal(polls.length, 1);
  await reveal();
  assert.equal(polls.length, 2);
  await reveal();
  assert.equal(polls.length, 2, "focus and visibility tell the same");
  await respond("two");
  await pass(LATER);
  assert.equal(polls.length, 3, "it goes on");
});

test("a response to a poll from before an action is not shown after it", async () => {
  const { loop, polls, shown, respond } = stage();
  loop.start();
  const [before] = polls;
  let isOver = false;
  loop.now().then(() => (isOver = true));
  assert.equal(before.signal.aborted, true);
  assert.equal(isOver, false);
  await respond("after");
  assert.equal(isOver, true, "a button is busy until then");
  before.respond("before");
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(shown, ["after"]);
});

test("after failures it waits longer each time, and no longer when there is a response", async () => {
  const { loop, polls, failed, respond, reject, pass } = stage();
  loop.start();
  const pauses = [];
  for (let time = 0; time < 6; time += 1) {
    await reject(new Error("no network"));
    const before = polls.length;
    let waited = 0;
    for (; polls.length === before; waited += 1000) await pass(1000);
    pauses.push(waited / 1000);
  }
  assert.deepEqual(pauses, [5, 10, 20, 40, 60, 60]);
  assert.equal(failed.length, 6);
  await respond("there");
  await pass(LATER);
  await reject(new Error("no network"));
  await pass(5000);
  assert.equal(polls.length, 9);
});

test("without a session the page polls only when it becomes visible; without a permission it polls again", async () => {
  const { loop, polls, reject, pass, reveal } = stage();
  loop.start();
  await reject(new ApiError(401, "Not authenticated"));
  await pass(3_600_000);
  assert.equal(polls.length, 1);
  await reveal();
  await reject(new ApiError(403, "Invalid JWT token"));
  await pass(10_000);
  assert.equal(polls.length, 3);
});

test("a poll that takes too long is aborted, and repeated", async () => {
  const { loop, polls, failed, shown, pass } = stage();
  loop.start();
  await pass(TIMEOUT);
  assert.deepEqual(failed, ["the request timed out"]);
  await pass(5000);
  assert.equal(polls.length, 2);
  assert.deepEqual(shown, []);
});

test("a stopped loop polls nothing and shows nothing", async () => {
  const { loop, polls, shown, failed, pass, reveal, respond } = stage();
  loop.start();
  loop.stop();
  await respond("late");
  await pass(3_600_000);
  await reveal();
  loop.now();
  assert.deepEqual([polls.length, shown, failed], [1, [], []]);
  assert.ok(SOON < LATER);
});
