/**
 * Prints which fields of which XComs the tab reads: `{operator: {key: [field]}}`, and which keys it asks for.
 *
 * Standard input: `{operator: {key: value}}`, with a value for every key that an operator leaves.
 */
import { readFileSync } from "node:fs";

import { OPERATORS, xcomKey } from "../../../plugins/klap_provider/ui/static/instances.js";
import { tell, wantedXComs } from "../../../plugins/klap_provider/ui/static/story.js";

const left = JSON.parse(readFileSync(0, "utf-8"));
const reads = {};
const asked = {};

/** The value, noting each field that is read of it, or of the items of a list. */
function noting(value, operator, key) {
  if (Array.isArray(value)) return value.map((item) => noting(item, operator, key));
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, field) {
      if (typeof field === "string") ((reads[operator] ??= {})[key] ??= new Set()).add(field);
      return target[field];
    },
  });
}

function tellOf(runState, stateOf, without = []) {
  const instances = OPERATORS.map((operator, index) => ({
    id: String(index),
    task_id: operator,
    map_index: index > 5 ? 0 : -1,
    operator,
    state: stateOf(operator),
    start_date: "2026-01-01T00:00:00Z",
    rendered_fields: { submissions: 1 },
  })).filter(({ operator }) => !without.includes(operator));
  const xcoms = new Map();
  for (const { instance, key } of wantedXComs(instances, xcoms)) {
    (asked[instance.operator] ??= new Set()).add(key);
    xcoms.set(xcomKey(instance, key), noting(left[instance.operator][key] ?? null, instance.operator, key));
  }
  tell({ run: { state: runState, conf: null }, instances, xcoms, forbidden: false }, new Date("2026-01-01T00:01:00Z"));
}

for (const chooser of ["ReviewShortsOperator", "ListShortsOperator"]) {
  const without = [chooser];
  tellOf("success", () => "success", without);
  tellOf("running", (operator) => (operator === "PublishShortsOperator" ? null : "success"), without);
  tellOf("running", (operator) => (operator.startsWith("Submit") ? "success" : null), without);
  for (const failing of OPERATORS)
    tellOf("running", (operator) => (operator === failing ? "failed" : "success"), [
      ...without,
      ...(failing === "PublishShortsOperator" ? [] : ["PublishShortsOperator"]),
    ]);
}
const plain = (value) =>
  value instanceof Set
    ? [...value]
    : Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
console.log(JSON.stringify({ reads: plain(reads), asked: plain(asked) }));
