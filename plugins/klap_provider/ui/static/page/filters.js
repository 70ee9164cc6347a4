/** The filters of a list. */
import { h } from "../components.js";
import { PERIODS, dayText, firstDay, periodText } from "./texts.js";

const { useState } = globalThis.React;
const { Button, HStack, Input, NativeSelectField, NativeSelectIndicator, NativeSelectRoot, Text } = globalThis.ChakraUI;

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

/** Return the period that the page's address names; default: the first one. */
function addressed() {
  const name = new URL(location.href).searchParams.get("period") ?? "";
  return { name: Object.hasOwn(PERIODS, name) ? name : Object.keys(PERIODS)[0], until: null };
}

/** The period of a list, kept in the page's address: `{name, until}`, see {@link periodText}; its days; its setter. */
export function usePeriod() {
  const [period, setPeriod] = useState(addressed);
  const choose = (chosen) => {
    const address = new URL(location.href);
    address.searchParams.set("period", chosen.name);
    history.replaceState(history.state, "", address);
    setPeriod(chosen);
  };
  const { name, until } = period;
  const days = { since: firstDay(name, new Date()), ...(until && { until }) };
  return { period, days, choose };
}

/** The periods to choose from. */
export const PeriodChoice = ({ period, choose }) =>
  h(Choice, {
    label: "Time",
    value: period.name,
    options: Object.entries(PERIODS),
    choose: (name) => choose({ name, until: null }),
  });

/** Which days of a period an answer includes, if these are not all of them, and the way to the others. */
export function Included({ period, since, choose }) {
  const isCut = since > firstDay(period.name, new Date());
  if (!isCut && period.until === null) return null;
  const link = (label, until) =>
    h(Button, { onClick: () => choose({ ...period, until }), size: "xs", variant: "outline" }, label);
  return h(
    HStack,
    { flexWrap: "wrap", gap: 2 },
    h(Text, { fontSize: "sm" }, `Only the days ${periodText(period, since, new Date())} are included.`),
    isCut && link("Older", dayText(new Date(since), 1)),
    period.until !== null && link("Newest", null),
  );
}
