/** Every module loads: a name that another module does not export leaves the whole page empty. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import test from "node:test";

const ROOT = new URL("../../../plugins/klap_provider/ui/static/", import.meta.url);

/** Stands for Airflow's globals: any name, called or not. */
function nothing() {}
const anything = new Proxy(nothing, {
  apply: () => anything,
  get: (_, name) => (name === Symbol.toPrimitive ? () => "" : anything),
});
const GLOBALS = [
  "React",
  "ReactDOM",
  "ReactJSXRuntime",
  "ReactRouterDOM",
  "ChakraUI",
  "document",
  "location",
  "window",
];
Object.assign(globalThis, Object.fromEntries(GLOBALS.map((name) => [name, anything])));

const modules = readdirSync(ROOT, { recursive: true }).filter((name) => name.endsWith(".js"));

test("there are modules", () => assert.ok(modules.length > 20));

for (const name of modules) test(`${name} loads`, () => import(new URL(name, ROOT)));
