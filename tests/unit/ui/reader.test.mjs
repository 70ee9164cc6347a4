/** How the Shorts tab asks Airflow. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../../plugins/klap_provider/ui/static/api.js";
import { RunReader } from "../../../plugins/klap_provider/ui/static/reader.js";

const RUN = "dags/a dag/dagRuns/a run";

/** An Airflow with these task instances and XComs; `asked` are the addresses that were asked for. */
function airflow({ state = "success", instances, xcoms = {}, page = 100 }) {
  const asked = [];
  const get = async (path, query = {}) => {
    const address = path.join("/");
    asked.push(address.slice(RUN.length) + ("map_index" in query ? ` ${query.map_index}` : ""));
    if (address === RUN) return { state, conf: {} };
    if (address === `${RUN}/taskInstances`) {
      return {
        task_instances: instances.slice(query.offset, query.offset + Math.min(query.limit, page)),
        total_entries: instances.length,
      };
    }
    const value = xcoms[`${path[5]}.${query.map_index}.${path[7]}`];
    if (value instanceof Error) throw value;
    if (value === undefined) throw new ApiError(404, "not found");
    return { value };
  };
  return { get, asked };
}

const instance = (task_id, operator, map_index = -1) => ({
  id: `${task_id}${map_index}`,
  task_id,
  operator,
  map_index,
  state: "success",
  rendered_fields: { submissions: "1" },
});

function finished(shorts) {
  const mapped = Array.from({ length: shorts }, (_, index) => [
    instance("export", "ExportShortOperator", index),
    instance("wait", "ExportStatusSensor", index),
    instance("deliver", "DeliverShortOperator", index),
  ]);
  return [instance("list", "ListShortsOperator"), instance("publish", "PublishShortsOperator"), ...mapped.flat()];
}

const all = async (reader) => {
  const read = [];
  for await (const answers of reader.read(new AbortController().signal)) read.push(answers);
  return read;
};

const OUTCOME = {
  "list.-1.klap_shorts": [],
  "list.-1.klap_offer": null,
  "publish.-1.klap_outcome": [],
  "publish.-1.klap_cost": null,
};

test("a finished run with a hundred shorts costs nine requests, and the first six are enough to show it", async () => {
  const { get, asked } = airflow({ instances: finished(100), xcoms: OUTCOME });
  const read = await all(new RunReader("a dag", "a run", get));
  assert.deepEqual(asked.slice(0, 2), ["", "/taskInstances"]);
  assert.equal(asked.length, 1 + 4 + 4);
  assert.deepEqual(
    read.map(({ instances }) => instances.length),
    [100, 302],
  );
  assert.equal(read[0].xcoms.size, 4);
});

test("a server with smaller pages is asked for all of them", async () => {
  const { get } = airflow({ instances: finished(20), xcoms: OUTCOME, page: 25 });
  assert.equal((await all(new RunReader("a dag", "a run", get))).at(-1).instances.length, 62);
});

test("what was read once is not read again", async () => {
  const { get, asked } = airflow({
    state: "running",
    instances: finished(3).filter(({ task_id }) => task_id !== "publish"),
    xcoms: OUTCOME,
  });
  const reader = new RunReader("a dag", "a run", get);
  await all(reader);
  asked.length = 0;
  await all(reader);
  assert.deepEqual(asked, ["", "/taskInstances"]);
});

test("without an outcome every short is asked for what it came to", async () => {
  const xcoms = { "list.-1.klap_shorts": [], "deliver.2.return_value": { path: "/c.mp4" } };
  const { get, asked } = airflow({ instances: finished(3), xcoms });
  const latest = (await all(new RunReader("a dag", "a run", get))).at(-1);
  assert.equal(asked.filter((address) => address.includes("return_value")).length, 6);
  assert.ok([...latest.xcoms.values()].some((value) => value?.path === "/c.mp4"));
});

test("a user who may not read XComs is not asked for more of them", async () => {
  const forbidden = new ApiError(403, "Forbidden");
  const xcoms = Object.fromEntries(Object.keys(OUTCOME).map((key) => [key, forbidden]));
  const { get, asked } = airflow({ instances: finished(3), xcoms });
  const reader = new RunReader("a dag", "a run", get);
  assert.equal((await all(reader)).at(-1).forbidden, true);
  assert.equal(asked.filter((address) => address.includes("xcomEntries")).length, 4);
});

test("a person's answer is asked for where Airflow has it, and who may not see it sees the rest all the same", async () => {
  const review = { ...instance("list", "ReviewShortsOperator"), state: "awaiting_input" };
  const instances = [review];
  const { get, asked } = airflow({ state: "running", instances, xcoms: { "list.-1.klap_shorts": [] } });
  const refusing = async (path, query) => {
    if (path.at(-1) !== "hitlDetails") return get(path, query);
    asked.push(path.slice(4).join("/"));
    throw new ApiError(403, "Forbidden");
  };
  const reader = new RunReader("a dag", "a run", refusing);
  await all(reader);
  instances[0] = { ...review, state: "scheduled" };
  assert.equal((await all(reader)).at(-1).forbidden, false);
  assert.deepEqual(
    asked.filter((address) => address.includes("hitl")),
    ["taskInstances/list/-1/hitlDetails"],
  );
});

test("whether a run goes on is one request", async () => {
  const { get, asked } = airflow({ instances: finished(3), xcoms: OUTCOME });
  assert.equal((await new RunReader("a dag", "a run", get).look()).state, "success");
  assert.deepEqual(asked, [""]);
});

test("any other refusal is an error", async () => {
  const { get } = airflow({ instances: finished(1), xcoms: { "list.-1.klap_shorts": new ApiError(500, "no") } });
  await assert.rejects(all(new RunReader("a dag", "a run", get)), ApiError);
});
