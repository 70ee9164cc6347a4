/** What globals.d.ts refuses: the type check fails if it accepts one of these. */
import { h, State } from "../../plugins/klap_provider/ui/static/components.js";

const { Box, IconButton, Text } = globalThis.ChakraUI;
const press = () => {};

export const accepted = [
  h(Box, { as: "button", onClick: press }, "text"),
  h(IconButton, { "aria-label": "name", onClick: press }),
  h("svg", { "aria-hidden": true, viewBox: "0 0 24 24" }),
  h(Text, null, "text", "more text"),
  h(State, { key: "key", state: null }),
];

export const refused = [
  // @ts-expect-error: it does not work with the keyboard
  h(Box, { onClick: press }, "text"),
  // @ts-expect-error: it has no name
  h(IconButton, { onClick: press }),
  // @ts-expect-error: it has no name
  h("video", { src: "address" }),
  // @ts-expect-error: it has no text
  h("img", { src: "address" }),
  // @ts-expect-error: it has no name, and is not hidden
  h("svg", { viewBox: "0 0 24 24" }),
  // @ts-expect-error: there is no such attribute
  h("a", { hrf: "address" }, "text"),
  // @ts-expect-error: `state` is missing
  h(State, { key: "key" }),
  // @ts-expect-error: there is no such property
  h(State, { state: null, wrong: 1 }),
];
