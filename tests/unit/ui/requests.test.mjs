/** The requests of the tab, their prices, and which of them the user confirms. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { errorText, getFromPlugin, getIfChanged, postToPlugin } from "../../../plugins/klap_provider/ui/static/api.js";
import { selectionCost, toggled } from "../../../plugins/klap_provider/ui/static/selection.js";
import { confirmation } from "../../../plugins/klap_provider/ui/static/texts.js";

const offer = { price: 0.48, estimated: true, covered: null, deadline: null };
const shorts = (...exported) => exported.map((each, id) => ({ id, exported: each }));

test("a short that was already exported is free, and estimated prices are marked", () => {
  const cost = selectionCost(shorts(false, true, false), offer);
  assert.deepEqual(cost.pays, { price: 0.96, estimated: true });
  assert.equal(cost.text, "2 × $0.48 (estimated) · 1 already exported (free)");
  assert.equal(selectionCost(shorts(false), { ...offer, estimated: false }).text, "1 × $0.48");
});

test("nothing over the budget is paid, and the shorts over it are named", () => {
  const cost = selectionCost(shorts(false, true, false, false), { ...offer, covered: 2 });
  assert.deepEqual([cost.exports, cost.pays.price, [...cost.dropped]], [3, 0.96, [3]]);
  assert.match(cost.text, /the budget covers 2: the best 2 are exported$/);
  assert.match(selectionCost(shorts(false), { ...offer, covered: 2 }).text, /the budget covers 1 more$/);
});

test("without a price the sum is unknown, not free", () => {
  assert.equal(selectionCost(shorts(false), null).pays.price, null);
  assert.equal(selectionCost(shorts(true), null).pays.price, 0);
});

test("more than five dollars, an unknown price and a second payment are confirmed", () => {
  const pays = (price, again = false) => ({ price, estimated: false, again });
  assert.deepEqual([confirmation(null), confirmation(pays(0)), confirmation(pays(5))], [null, null, null]);
  assert.equal(confirmation(pays(5.28)), "Klap bills $5.28 for this action.");
  assert.equal(confirmation(pays(null)), "Klap bills this action. Its price is unknown.");
  assert.equal(confirmation(pays(0.48, true)), "An earlier request was paid for. Klap bills this one as well: $0.48.");
  assert.match(confirmation(pays(null, true)), /Klap bills this one as well: price unknown\.$/);
});

test("to toggle is to add, or to take back", () => {
  assert.deepEqual([...toggled(new Set(["a"]), "b")], ["a", "b"]);
  assert.deepEqual([...toggled(new Set(["a", "b"]), "a")], ["b"]);
});

test("an answer of a proxy or of a sign-in page is not taken for Airflow's", async (context) => {
  globalThis.document = { baseURI: "https://airflow.example/" };
  context.mock.method(globalThis, "fetch", async () => new Response("<html>Sign in</html>"));
  for (const send of [getFromPlugin, getIfChanged, postToPlugin]) {
    const error = await send(["api", "x"], {}).catch((failure) => failure);
    assert.match(errorText(error), /^Airflow returned 200: a web page .* Reload this page\.$/);
  }
});
