/** A part of a page that throws while it renders does not take the other parts with it. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { render } from "./render.mjs";

globalThis.navigator ??= {};
globalThis.document = { baseURI: "https://airflow.example/" };

const { TabContext } = await import("../../../plugins/klap_provider/ui/static/actions.js");
const { ShortCard } = await import("../../../plugins/klap_provider/ui/static/card.js");
const { CardGrid } = await import("../../../plugins/klap_provider/ui/static/card-grid.js");
const { h } = await import("../../../plugins/klap_provider/ui/static/components.js");
const { ErrorBoundary } = await import("../../../plugins/klap_provider/ui/static/messages.js");

const NOT_SHOWN = "This part could not be shown. Reload this page.";

/** A card as the server describes it. */
const short = (id, changes = {}) => ({
  id,
  name: `Moment ${id}`,
  score: 90,
  explanation: null,
  seconds: null,
  bytes: null,
  watermark: null,
  left_out: null,
  state: "running",
  text: "Waiting for Klap",
  error: null,
  path: null,
  shape: 0.5625,
  video: null,
  ...changes,
});

test("a card with malformed data shows a sentence, and the other cards stay", () => {
  const run = ["dags", "d", "runs", "r"];
  const draw = (each) => h(ShortCard, { key: each.id, short: each, run });
  const shorts = [short("a"), short("b", { name: { not: "a text" } }), short("c")];
  const context = { form: null, details: {} };
  const drawn = render(h(TabContext.Provider, { value: context }, h(CardGrid, { shorts, draw })));
  const [first, second, third, ...more] = drawn.split("<li>").slice(1);
  assert.deepEqual(more, []);
  assert.ok(first.includes("Moment a") && third.includes("Moment c"), drawn);
  assert.ok(second.includes(NOT_SHOWN) && second.includes("Objects are not valid as a React child"), second);
  assert.equal(drawn.split(NOT_SHOWN).length, 2);
});

test("a part that failed is rendered again with new data, and only then", () => {
  const boundary = new ErrorBoundary({ children: "old" });
  boundary.setState = (state) => Object.assign(boundary.state, state);
  const fail = () => (boundary.state = ErrorBoundary.getDerivedStateFromError(new TypeError("x is undefined")));
  /** What React calls after each rendering. */
  const updated = (children, stateBefore) => {
    const propsBefore = boundary.props;
    boundary.props = { children };
    boundary.componentDidUpdate(propsBefore, stateBefore);
    return render(boundary.render());
  };
  fail();
  assert.match(updated("old", boundary.state), /could not be shown.* TypeError: x is undefined/);
  assert.equal(updated("new", { ...boundary.state }), "new");
  fail();
  assert.match(
    updated("newer", { error: null }),
    /could not be shown/,
    "data with which it just failed is not tried again",
  );
});
