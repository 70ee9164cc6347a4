/** What the Shorts tab tells of Airflow's answers. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ANSWER, asking, httpAddress, xcomKey } from "../../../plugins/klap_provider/ui/static/instances.js";
import { tell, wantedXComs } from "../../../plugins/klap_provider/ui/static/story.js";
import {
  addressName,
  clock,
  costWords,
  fileOf,
  fileSize,
  momentWords,
  money,
  pathOf,
  stateName,
} from "../../../plugins/klap_provider/ui/static/words.js";

const NOW = new Date("2026-01-01T12:00:00Z");
const STEPS = { export: "ExportShortOperator", wait: "ExportStatusSensor", deliver: "DeliverShortOperator" };

function instance(operator, state, more = {}) {
  const task_id = more.task_id ?? operator;
  const map_index = more.map_index ?? -1;
  return {
    id: `${task_id}.${map_index}`,
    task_id,
    map_index,
    operator,
    state,
    start_date: null,
    rendered_fields: {},
    ...more,
  };
}

const step = (name, map_index, state, more = {}) =>
  instance(STEPS[name], state, { task_id: `short.${name}`, map_index, ...more });

const steps = (map_index, ...states) =>
  Object.keys(STEPS).map((name, place) => step(name, map_index, states[place] ?? null));

const short = (project_id, more = {}) => ({
  project_id,
  short_name: `Short ${project_id}`,
  virality_score: 50,
  reason: null,
  ...more,
});

/** A run that has come as far as its shorts, with XComs as `[[instance, key, value], …]`. */
function answers({ shorts = [], mapped = [], state = "running", published = null, xcoms = [] }) {
  const select = instance("ListShortsOperator", "success");
  const publish = instance("PublishShortsOperator", published, { rendered_fields: { submissions: "1" } });
  const submit = instance("SubmitShortsOperator", "success", {
    rendered_fields: { source_video_url: "https://example.com/a.mp4" },
  });
  return {
    run: { state, conf: {} },
    instances: [submit, instance("TaskStatusSensor", "success"), select, ...mapped, publish],
    xcoms: new Map(
      [[select, "klap_shorts", shorts], ...xcoms.map(([of, ...rest]) => [of ?? publish, ...rest])].map(
        ([of, key, value]) => [xcomKey(of, key), value],
      ),
    ),
    forbidden: false,
  };
}

function before({ state = "running", xcoms = [], ...states }) {
  const operators = {
    submit: "SubmitShortsOperator",
    wait: "TaskStatusSensor",
    choose: "ReviewShortsOperator",
    publish: "PublishShortsOperator",
  };
  const instances = Object.entries(operators).map(([name, operator]) => instance(operator, states[name] ?? null));
  const found = xcoms.map(([operator, key, value]) => [
    xcomKey(
      instances.find((each) => each.operator === operators[operator]),
      key,
    ),
    value,
  ]);
  return {
    run: { state, conf: { source_video_url: "https://example.com/conf.mp4" } },
    instances,
    xcoms: new Map(found),
    forbidden: false,
  };
}

test("a run without a task of these operators has no story", () => {
  assert.equal(
    tell({ run: { state: "success", conf: {} }, instances: [], xcoms: new Map(), forbidden: false }, NOW),
    null,
  );
});

test("the source is what was submitted, and before that what the run was triggered with", () => {
  assert.equal(tell(answers({}), NOW).source.href, "https://example.com/a.mp4");
  assert.equal(tell(before({}), NOW).source.href, "https://example.com/conf.mp4");
});

test("while Klap works, the story says for how long, and how far is not known", () => {
  const told = tell(
    before({
      submit: "success",
      wait: "deferred",
      xcoms: [["submit", "return_value", { submitted_at: "2026-01-01T10:45:00+00:00" }]],
    }),
    NOW,
  );
  assert.deepEqual(
    [told.stage.state, told.stage.words, told.percent],
    ["deferred", "Waiting for Klap for 1 h 15 min", null],
  );
});

test("a person who is asked is pointed to the question, and the shorts are undecided", () => {
  const told = tell(
    before({
      submit: "success",
      wait: "success",
      choose: "awaiting_input",
      xcoms: [["choose", "klap_shorts", [short("a"), short("b", { reason: "below_minimum" })]]],
    }),
    NOW,
  );
  assert.deepEqual(told.stage.question, { taskId: "ReviewShortsOperator", mapIndex: -1 });
  assert.deepEqual(
    told.shorts.map(({ state, leftOut }) => [state, leftOut]),
    [
      ["awaiting_input", null],
      [null, "Below the minimum score"],
    ],
  );
  assert.deepEqual(told.totals, [{ label: "Generated", value: "2" }]);
});

test("a step of the run that failed is the story, with its error and its log", () => {
  const told = tell(
    before({
      state: "failed",
      submit: "failed",
      wait: "upstream_failed",
      xcoms: [["submit", "klap_error", { error: "402: out of credits" }]],
    }),
    NOW,
  );
  assert.deepEqual(
    [told.stage.words, told.stage.error, told.stage.log?.taskId],
    ["The video could not be submitted", "402: out of credits", "SubmitShortsOperator"],
  );
  assert.equal(told.ended, true);
});

test("the selected shorts, in their order, have the map indexes 0, 1, 2, whatever lies between them", () => {
  const shorts = [short("a"), short("x", { reason: "not_picked" }), short("b")];
  const told = tell(
    answers({ shorts, mapped: [...steps(0, "success", "success", "running"), ...steps(1, "success", "deferred")] }),
    NOW,
  );
  assert.deepEqual(
    told.shorts.map(({ state, words, leftOut }) => [state, words, leftOut]),
    [
      ["running", "Delivering", null],
      [null, "", "Not picked"],
      ["deferred", "Klap is exporting", null],
    ],
  );
  assert.deepEqual(
    told.shorts.map(({ log }) => log),
    [{ taskId: "short.deliver", mapIndex: 0 }, null, { taskId: "short.wait", mapIndex: 1 }],
  );
});

test("a short is delivered only when its last step is, mapped yet or not", () => {
  const waiting = answers({
    shorts: [short("a")],
    mapped: [step("export", 0, "success"), step("wait", 0, "success"), step("deliver", -1, null)],
  });
  assert.equal(tell(waiting, NOW).shorts[0].words, "Waiting for its turn");
  const delivered = answers({ shorts: [short("a")], mapped: steps(0, "success", "success", "success") });
  assert.equal(tell(delivered, NOW).shorts[0].words, "Delivered");
});

test("a step that failed is what is said of its short, though the steps behind it say upstream_failed", () => {
  const mapped = steps(0, "success", "failed", "upstream_failed");
  const told = tell(
    answers({ shorts: [short("a")], mapped, xcoms: [[mapped[1], "klap_error", { error: "out of memory" }]] }),
    NOW,
  ).shorts[0];
  assert.deepEqual(
    [told.state, told.words, told.error, told.log.taskId],
    ["failed", "The export failed", "out of memory", "short.wait"],
  );
});

test("a run that sums itself up needs no XCom of its single shorts", () => {
  const mapped = [...steps(0, "success", "success", "success"), ...steps(1, "success", "failed", "upstream_failed")];
  const outcome = [
    {
      project_id: "a",
      path: "file:///a.mp4",
      size: 2_000_000,
      src_url: "https://example.com/a.mp4",
      step: null,
      error: null,
    },
    { project_id: "b", path: null, size: null, src_url: null, step: "wait", error: "out of memory" },
  ];
  const given = answers({
    shorts: [short("a"), short("b")],
    mapped,
    state: "failed",
    published: "failed",
    xcoms: [[null, "klap_outcome", outcome]],
  });
  assert.deepEqual(
    wantedXComs(given.instances, given.xcoms).map(({ key }) => key),
    ["return_value", "klap_offer", "klap_error", "klap_error", "klap_cost"],
    "of the single shorts only that of the one that failed, for how to go on",
  );
  const told = tell(given, NOW);
  assert.deepEqual(
    told.shorts.map(({ path, bytes, video, error }) => [path, bytes, video, error]),
    [
      ["file:///a.mp4", 2_000_000, "https://example.com/a.mp4", null],
      [null, null, null, "out of memory"],
    ],
  );
  assert.deepEqual(
    [told.stage.state, told.stage.words, told.percent],
    ["failed", "1 of 2 shorts delivered, 1 failed", 100],
  );
  assert.deepEqual(
    told.totals.map(({ label, value }) => `${label} ${value}`),
    ["Generated 2", "Selected 2", "Delivered 1", "Failed 1", "Size 2.0 MB"],
  );
});

test("the outcome tells how shorts ended before their task instances are there", () => {
  const outcome = [
    { project_id: "a", path: "/a.mp4", error: null },
    { project_id: "b", path: null, error: "no" },
  ];
  const told = tell(
    answers({
      shorts: [short("a"), short("b")],
      state: "failed",
      published: "failed",
      xcoms: [[null, "klap_outcome", outcome]],
    }),
    NOW,
  );
  assert.deepEqual(
    told.shorts.map(({ state }) => state),
    ["success", "failed"],
  );
});

test("while the run goes on, each task instance that has ended is asked once, and again after another try", () => {
  const mapped = [
    ...steps(0, "success", "success", "success"),
    ...steps(1, "success", "failed"),
    ...steps(2, "running"),
  ];
  const given = answers({ shorts: [short("a"), short("b"), short("c")], mapped });
  const wanted = wantedXComs(given.instances, given.xcoms);
  assert.deepEqual(
    wanted.map(({ instance: { task_id, map_index }, key }) => `${task_id} ${map_index} ${key}`),
    [
      "SubmitShortsOperator -1 return_value",
      "ListShortsOperator -1 klap_offer",
      "short.wait 0 return_value",
      "short.deliver 0 return_value",
      "short.wait 1 klap_error",
    ],
  );
  for (const { instance: of, key } of wanted) given.xcoms.set(xcomKey(of, key), null);
  assert.deepEqual(wantedXComs(given.instances, given.xcoms), []);
  mapped[4].id = "another try";
  assert.equal(wantedXComs(given.instances, given.xcoms).length, 1);
});

test("a run that ended without an outcome is asked short by short", () => {
  const given = answers({
    shorts: [short("a")],
    mapped: steps(0, "success", "success", "success"),
    state: "success",
    published: "success",
    xcoms: [[null, "klap_outcome", null]],
  });
  assert.deepEqual(
    wantedXComs(given.instances, given.xcoms).map(({ instance: { operator }, key }) => `${operator} ${key}`),
    [
      "SubmitShortsOperator return_value",
      "ListShortsOperator klap_offer",
      "ExportStatusSensor return_value",
      "DeliverShortOperator return_value",
      "PublishShortsOperator klap_cost",
    ],
  );
});

test("a run is known by the name that the video was given, and else by its address", () => {
  const named = answers({});
  named.instances[0].rendered_fields.name = "Town hall";
  assert.equal(tell(named, NOW).name, "Town hall");
  assert.equal(tell(answers({}), NOW).name, "example.com/a.mp4");
  assert.equal(addressName("https://www.youtube.com/watch?v=abc"), "www.youtube.com/watch?v=abc");
  assert.equal(addressName("https://a.example/v.mp4?token=secret"), "a.example/v.mp4");
});

test("what the run has cost is said, and whether its prices are second-hand", () => {
  const cost = (value) =>
    tell(answers({ shorts: [short("a")], state: "success", published: "success", xcoms: [[null, "klap_cost", value]] }), NOW)
      .cost;
  assert.deepEqual(cost({ total: 4.12, second_hand: true }), { total: 4.12, secondHand: true, isSum: true });
  assert.equal(costWords(cost({ total: 4.12, second_hand: true })), "$4.12 at second-hand prices");
  assert.equal(costWords(cost({ total: 4.12, second_hand: false })), "$4.12");
  assert.equal(cost(null), null);
});

const retryOf = (states, operator, failure) => {
  const mapped = steps(0, ...states);
  const failed = mapped.find((each) => each.operator === operator);
  return tell(answers({ shorts: [short("a")], mapped, xcoms: [[failed, "klap_error", failure]] }), NOW).shorts[0];
};

const UNSENT = ["failed", "upstream_failed", "upstream_failed"];

test("an export that failed at Klap is ordered, and paid for, anew; one that was late is waited for on", () => {
  const states = ["success", "failed", "upstream_failed"];
  const anew = retryOf(states, STEPS.wait, { error: "no", type: "KlapJobFailedError" }).retry;
  assert.deepEqual([anew.isPaid, anew.places.map(({ taskId }) => taskId)], [true, ["short.export", "short.wait", "short.deliver"]]);
  const on = retryOf(states, STEPS.wait, { error: "late", type: "AirflowSensorTimeout" }).retry;
  assert.deepEqual([on.isPaid, on.places.map(({ taskId }) => taskId)], [false, ["short.wait", "short.deliver"]]);
});

test("a delivery is tried again for nothing, and an export that could not be ordered is to be paid for yet", () => {
  assert.equal(retryOf(["success", "success", "failed"], STEPS.deliver, { error: "disk" }).retry.isPaid, false);
  assert.equal(retryOf(UNSENT, STEPS.export, { error: "402" }).retry.isPaid, true);
  const delivered = answers({ shorts: [short("a")], mapped: steps(0, "success", "success", "success") });
  assert.equal(tell(delivered, NOW).shorts[0].retry, null);
});

test("a fate that is unknown asks a person, with what there is to know", () => {
  const fate = { entry: "export a plain", sent_at: "2026-01-01T11:00:00Z", jobs: ["x", "y"], price: 0.48, second_hand: false };
  const told = retryOf(UNSENT, STEPS.export, { error: "…", type: "KlapSubmitUncertainError", fate }).fate;
  assert.deepEqual(told, {
    isChanged: false,
    entry: "export a plain",
    sentAt: "2026-01-01T11:00:00Z",
    jobs: ["x", "y"],
    price: 0.48,
    secondHand: false,
    place: { taskId: "short.export", mapIndex: 0 },
  });
  const stopped = before({
    state: "failed",
    submit: "failed",
    xcoms: [["submit", "klap_error", { error: "…", type: "KlapChangedError", fate: { entry: "submission d r submit" } }]],
  });
  const { isChanged, jobs, price } = tell(stopped, NOW).stage.fate;
  assert.deepEqual([isChanged, jobs, price], [true, [], 0]);
});

test("nobody is asked before Airflow has marked what follows as failed, or a clear would leave that out", () => {
  const failure = { error: "…", type: "KlapSubmitUncertainError", fate: { entry: "export a plain" } };
  const { fate, retry } = retryOf(["failed", "upstream_failed", null], STEPS.export, failure);
  assert.deepEqual([fate, retry], [null, null]);
  const going = before({
    state: "running",
    submit: "failed",
    xcoms: [["submit", "klap_error", { error: "…", fate: { entry: "submission d r submit" } }]],
  });
  assert.deepEqual([tell(going, NOW).stage.state, tell(going, NOW).stage.fate], ["failed", null]);
});

test("what exports cost is known from the list on", () => {
  const xcoms = [["choose", "klap_offer", { price: 0.48, second_hand: true, room: 2, deadline: "2026-01-02T12:00:00Z" }]];
  const told = tell(before({ submit: "success", wait: "success", choose: "awaiting_input", xcoms }), NOW);
  assert.deepEqual(told.offer, { price: 0.48, secondHand: true, room: 2, deadline: "2026-01-02T12:00:00Z" });
  assert.equal(tell(before({}), NOW).offer, null);
});

test("as soon as a person has answered, what was not picked is not selected, and it is said who picked and when", () => {
  const asked = [short("a"), short("b", { reason: "beyond_limit" }), short("c")];
  const run = before({ submit: "success", wait: "success", choose: "scheduled" });
  const review = run.instances.find(({ operator }) => operator === "ReviewShortsOperator");
  const wanted = () => wantedXComs(run.instances, run.xcoms).map(({ key }) => key);
  assert.ok(!wanted().includes(ANSWER), "of what never asked there is no answer");
  run.xcoms.set(xcomKey(asking(review), "klap_shorts"), asked);
  assert.ok(wanted().includes(ANSWER));
  const said = {
    response_received: true,
    options: ["1. A", "2. B", "3. C", "None of them"],
    chosen_options: ["2. B"],
    responded_by_user: { id: "7", name: "Ada" },
    responded_at: "2026-01-01T11:58:00Z",
  };
  const told = (answer) => {
    run.xcoms.set(xcomKey(review, ANSWER), answer);
    return tell(run, NOW);
  };
  assert.deepEqual(
    told(said).shorts.map(({ leftOut, words }) => [leftOut, words]),
    [
      ["Not picked", ""],
      [null, "Picked"],
      ["Not picked", ""],
    ],
  );
  assert.deepEqual(told(said).review, { by: "Ada", words: `picked 1 of 3 shorts · ${momentWords(said.responded_at)}` });
  assert.equal(told(said).stage.words, "Going on with what was picked");
  const none = told({ ...said, chosen_options: ["None of them"], responded_by_user: null });
  assert.deepEqual([none.review.by, none.shorts.filter(({ leftOut }) => leftOut === null)], ["Somebody", []]);
  for (const nothing of [null, { ...said, response_received: false }])
    assert.deepEqual([told(nothing).review, told(nothing).shorts[0].words], [null, "To be decided"]);
});

test("while a person is asked, and until the run has summed itself up, it is said what was paid before the exports", () => {
  const offer = { price: 0.48, second_hand: true, spent: 2.04, room: null, deadline: null };
  const paid = (choose, more = []) => {
    const run = before({ submit: "success", wait: "success", choose, publish: "success", xcoms: more });
    const review = run.instances.find(({ operator }) => operator === "ReviewShortsOperator");
    run.xcoms.set(xcomKey(asking(review), "klap_offer"), offer);
    return tell(run, NOW).cost;
  };
  for (const state of ["awaiting_input", "scheduled", "success"])
    assert.deepEqual(paid(state), { total: 2.04, secondHand: true, isSum: false });
  const cost = ["publish", "klap_cost", { total: 3.48, second_hand: false }];
  assert.deepEqual(paid("success", [cost]), { total: 3.48, secondHand: false, isSum: true });
});

test("a video that Klap could not finish can be sent again, by the run that has sent it, and it is said what that costs", () => {
  const again = (error, fields = {}) => {
    const xcoms = [
      ["wait", "klap_error", error],
      ["publish", "klap_cost", { total: 0.44, second_hand: true, prices: { input_video: 0.44 } }],
    ];
    const run = before({ state: "failed", submit: "success", wait: "failed", publish: "failed", xcoms });
    run.instances[0].rendered_fields = fields;
    return tell(run, NOW).again;
  };
  const over = { error: "no speech", type: "KlapJobFailedError" };
  const place = { taskId: "SubmitShortsOperator", mapIndex: -1 };
  assert.deepEqual(again(over), { place, price: 0.44, secondHand: true });
  assert.equal(again(over, { klap_task_id: "task01" }), null, "it would look at the same task");
  assert.equal(again({ error: "…", type: "KlapTimeoutError" }), null, "Klap may still finish it");
});

test("a short says which watermark it has, and nothing else of its address", () => {
  const marked = (watermark) => {
    const mapped = [step("export", 0, "success", { rendered_fields: { watermark } }), ...steps(0, "success").slice(1)];
    return tell(answers({ shorts: [short("a")], mapped }), NOW).shorts[0].mark;
  };
  assert.equal(marked({ src_url: "https://u:p@example.com/brand/logo.png?sig=1" }), "logo.png");
  assert.equal(marked({ src_url: "https://example.com" }), "a watermark");
  for (const none of [{ src_url: null }, { src_url: "" }, null, undefined]) assert.equal(marked(none), null);
  assert.equal(fileOf("no address"), "");
});

test("a link is written as Airflow writes its own, which knows by it on which page one is", () => {
  const run = ["dags", "d", "runs", "manual__2026-01-01T00:00:00+00:00"];
  assert.equal(pathOf(...run, "mapped", 3), "/dags/d/runs/manual__2026-01-01T00:00:00+00:00/mapped/3");
  assert.equal(pathOf("dags", "100%/a?b#c"), "/dags/100%25%2Fa%3Fb%23c");
});

test("progress counts the steps that are over", () => {
  const mapped = [...steps(0, "success", "success", "success"), ...steps(1, "success", "deferred")];
  const told = tell(answers({ shorts: [short("a"), short("b")], mapped }), NOW);
  assert.deepEqual([told.percent, told.stage.words], [67, "Exporting: 1 of 2 shorts delivered"]);
});

test("nothing selected and nothing made are told apart", () => {
  const published = "success";
  const state = "success";
  assert.equal(
    tell(answers({ shorts: [short("a", { reason: "below_minimum" })], state, published }), NOW).stage.words,
    "No short was selected",
  );
  assert.equal(tell(answers({ state, published }), NOW).stage.words, "The run has ended without shorts");
  const unscored = short("a", { reason: "no_score", virality_score: null });
  const told = tell(answers({ shorts: [unscored], state, published }), NOW);
  assert.equal(told.stage.words, "No short was selected: Klap gave none of them a score");
  assert.equal(told.shorts[0].leftOut, "No score from Klap");
  const mixed = [unscored, short("b", { reason: "below_minimum" })];
  assert.equal(tell(answers({ shorts: mixed, state, published }), NOW).stage.words, "No short was selected");
});

test("a DAG that lists no shorts has a card for each export", () => {
  const mapped = ["export", "wait"].map((name) =>
    step(name, -1, "success", { rendered_fields: { project_id: "p", short_name: "Whole" } }),
  );
  const given = {
    ...answers({ mapped, state: "success" }),
    xcoms: new Map([[xcomKey(mapped[1], "return_value"), { src_url: "https://example.com/p.mp4" }]]),
  };
  const told = tell(given, NOW);
  assert.deepEqual(
    told.shorts.map(({ name, words, video }) => [name, words, video]),
    [["Whole", "Exported", "https://example.com/p.mp4"]],
  );
  assert.equal(told.stage.words, "1 of 1 short exported");
});

test("a user who may not read XComs sees no shorts", () => {
  const told = tell({ ...answers({ shorts: [short("a")], state: "success" }), forbidden: true }, NOW);
  assert.deepEqual([told.forbidden, told.shorts, told.stage.words], [true, [], "The run has ended"]);
});

test("who picked, or that nobody did, is said", () => {
  const review = (value) =>
    tell(
      before({
        submit: "success",
        wait: "success",
        choose: "success",
        xcoms: [
          ["choose", "klap_review", value],
          ["choose", "klap_shorts", [short("a"), short("b")]],
        ],
      }),
      NOW,
    ).review;
  const at = "2026-01-01T11:58:00Z";
  const { by, words } = review({ by: "Ada", timed_out: false, picked: ["a"], answered_at: at });
  assert.deepEqual([by, words], ["Ada", `picked 1 of 2 shorts · ${momentWords(at)}`]);
  assert.deepEqual(review({ by: null, timed_out: true, picked: ["a"] }), {
    by: "Nobody",
    words: "answered in time: the proposal was taken",
  });
});

test("between a person's answer and what follows from it, the shorts that were asked about are shown, and none as left out", () => {
  const asked = [short("a"), short("b", { reason: "beyond_limit" })];
  const at = (choose) => {
    const run = before({ submit: "success", wait: "success", choose });
    const review = run.instances.find(({ operator }) => operator === "ReviewShortsOperator");
    run.xcoms.set(xcomKey({ ...review, state: "awaiting_input" }, "klap_shorts"), asked);
    return tell(run, NOW);
  };
  for (const state of [null, "scheduled", "queued", "running"]) {
    const told = at(state);
    assert.deepEqual(
      told.shorts.map(({ id, leftOut, words }) => [id, leftOut, words]),
      [
        ["a", null, "To be decided"],
        ["b", null, "To be decided"],
      ],
    );
    assert.deepEqual(told.totals, [{ label: "Generated", value: "2" }]);
    assert.equal(told.stage.question, null);
  }
  assert.deepEqual(
    at("awaiting_input").shorts.map(({ leftOut }) => leftOut),
    [null, "Beyond the limit"],
    "while it is asked, it is known what would be left out",
  );
  assert.deepEqual(at("failed").shorts, [], "nothing comes of it");
});

test("only http and https addresses are linked to", () => {
  const told = tell(
    answers({
      shorts: [
        short("a", { preview_url: "javascript:alert(1)" }),
        short("b", { preview_url: "https://klap.app/player/b" }),
      ],
    }),
    NOW,
  );
  assert.deepEqual(
    told.shorts.map(({ preview }) => preview),
    [null, "https://klap.app/player/b"],
  );
  assert.deepEqual([httpAddress("data:text/html,x"), httpAddress("//klap.app"), httpAddress(7)], [null, null, null]);
});

test("states, lengths and sizes read as in Airflow and as people write them", () => {
  assert.deepEqual([stateName("up_for_retry"), stateName(null)], ["Up For Retry", "No Status"]);
  assert.deepEqual([stateName("deferred"), stateName("awaiting_input")], ["Waiting", "Waiting For You"]);
  assert.deepEqual([money(0), money(0.96), money(0.0125), money(12)], ["free", "$0.96", "$0.0125", "$12.00"]);
  assert.deepEqual([clock(59.6), clock(125)], ["1:00", "2:05"]);
  assert.deepEqual([fileSize(15_001), fileSize(1_840_000), fileSize(2.5e9)], ["16 kB", "1.8 MB", "2.50 GB"]);
});

test("the answer of a review is asked for only where there was one", () => {
  const wanted = (operator, rendered_fields) =>
    wantedXComs([instance(operator, "success", { rendered_fields })], new Map()).map(({ key }) => key);
  assert.deepEqual(wanted("ReviewShortsOperator", { review: true }), ["klap_shorts", "klap_offer", "klap_review"]);
  assert.deepEqual(wanted("ReviewShortsOperator", { review: false }), ["klap_shorts", "klap_offer"]);
  assert.deepEqual(wanted("ListShortsOperator", {}), ["klap_shorts", "klap_offer"]);
});

test("shorts are asked for only where there are some: a refusal shows in the browser's console", () => {
  const wanted = (state) =>
    wantedXComs([instance("ListShortsOperator", state)], new Map()).map(({ key }) => key);
  assert.deepEqual(wanted("success"), ["klap_shorts", "klap_offer"]);
  assert.deepEqual(wanted("awaiting_input"), ["klap_shorts", "klap_offer"]);
  assert.deepEqual(wanted("failed"), ["klap_error"]);
  assert.deepEqual(wanted("upstream_failed"), []);
});

test("XComs of another form than ours show what they can and break nothing", () => {
  for (const shorts of [[null, {}, 7, short("a")], { a: 1 }, "text", 7]) {
    const published = [[null, "klap_outcome", [null, { project_id: "a", path: 7, error: {} }]]];
    const story = tell(answers({ shorts, published: "success", state: "success", xcoms: published }), NOW);
    assert.deepEqual(
      story.shorts.map((each) => each.id),
      Array.isArray(shorts) ? ["a"] : [],
    );
  }
});

/** A run of one whole video, which has come as far as its steps. */
function whole(mapped, { state = "running", shorts = [short("a", { virality_score: null })], fields = {}, ...more } = {}) {
  const given = answers({ shorts, mapped, state, ...more });
  const submit = given.instances.find((each) => each.operator === "SubmitShortsOperator");
  Object.assign(submit, { operator: "SubmitVideoOperator", rendered_fields: fields });
  return given;
}

test("of one whole video, the story says what it is at, and counts nothing", () => {
  const words = (...states) => tell(whole(steps(0, ...states)), NOW).stage.words;
  assert.equal(words("success", "deferred"), "Klap is exporting");
  assert.equal(words("success", "success", "running"), "Delivering");
  assert.equal(words("success", "success", "success"), "Summing up");
  const told = tell(whole(steps(0, "success", "success", "success"), { state: "success", published: "success" }), NOW);
  assert.deepEqual([told.isWhole, told.stage.words, told.percent, told.totals], [true, "Delivered", 100, []]);
  assert.deepEqual([told.shorts[0].isWhole, told.shorts[0].score], [true, null]);
});

test("a whole video that failed says so, once it is there and before", () => {
  const mapped = steps(0, "success", "failed", "upstream_failed");
  const xcoms = [[mapped[1], "klap_error", { error: "out of memory" }]];
  const told = tell(whole(mapped, { state: "failed", published: "failed", xcoms }), NOW);
  assert.deepEqual([told.stage.words, told.shorts[0].error], ["The export failed", "out of memory"]);

  const leftOut = [short("a", { reason: "below_minimum" })];
  assert.equal(tell(whole([], { state: "success", shorts: leftOut }), NOW).stage.words, "No short was selected");

  const given = whole([], { state: "failed", shorts: [] });
  assert.equal(tell(given, NOW).stage.words, "The run has ended without a video");
  given.instances.find((each) => each.operator === "ListShortsOperator").state = "failed";
  assert.equal(tell(given, NOW).stage.words, "The video could not be looked up");
});

test("while a whole video is looked up there is no talk of shorts", () => {
  const given = whole([], { shorts: [] });
  given.instances.find((each) => each.operator === "ListShortsOperator").state = "deferred";
  assert.equal(tell(given, NOW).stage.words, "Looking up the video");
});

test("the shape is that of the dimensions, or the aspect ratio, or Klap's own", () => {
  const shape = (fields) => tell(whole(steps(0, "running"), { fields }), NOW).shorts[0].shape;
  assert.equal(shape({ aspect_ratio: "16:9", dimensions: { width: null, height: null } }), 16 / 9);
  assert.equal(shape({ aspect_ratio: "9:16", dimensions: { width: 480, height: 270 } }), 16 / 9);
  assert.equal(shape({ aspect_ratio: "1:1", dimensions: { width: 720, height: null } }), 1);
  for (const odd of [{}, { aspect_ratio: null, dimensions: null }, { aspect_ratio: "wide", dimensions: "no" }])
    assert.equal(shape(odd), 9 / 16);
});
