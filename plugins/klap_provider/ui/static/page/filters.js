/** The filters of a list. */
import { h } from "../components.js";

const { Input, NativeSelectField, NativeSelectIndicator, NativeSelectRoot } = globalThis.ChakraUI;

/** A search field. `change` is called with its text. */
export function Search({ label, placeholder, value, change }) {
  const field = { "aria-label": label, placeholder, type: "search", value };
  return h(Input, { ...field, flex: "1 1 14rem", onChange: ({ target }) => change(target.value), size: "sm" });
}

/** A list to choose from. `options`: values, each with its label. */
export function Choice({ label, value, options, choose }) {
  return h(
    NativeSelectRoot,
    { flex: "0 1 12rem", size: "sm" },
    h(
      NativeSelectField,
      { "aria-label": label, onChange: ({ target }) => choose(target.value), value },
      ...options.map(([each, text]) => h("option", { key: each, value: each }, text)),
    ),
    h(NativeSelectIndicator),
  );
}

/** The Dags to choose from, if there are several. */
export const DagChoice = ({ dagIds, value, choose }) =>
  dagIds.length > 1 &&
  h(Choice, {
    label: "Dag",
    value,
    options: [["", "All Dags"], ...dagIds.map((dagId) => [dagId, dagId])],
    choose,
  });
