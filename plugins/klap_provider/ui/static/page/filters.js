/** The filters of a list. */
import { Choice, h } from "../components.js";
import { useAddress } from "./address.js";
import { PERIODS, dayText, firstDay, periodText } from "./texts.js";

const { useEffect, useRef, useState } = globalThis.React;
const { Button, HStack, Input, Text } = globalThis.ChakraUI;

const PAUSE = 300; // ms

/** A search field. `change` is called with its text when the user pauses. */
export function Search({ label, placeholder, value, change }) {
  const [text, setText] = useState(value);
  const timer = useRef(null);
  useEffect(() => {
    if (timer.current === null) setText(value); // the user went back
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = ({ target }) => {
    setText(target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      timer.current = null;
      change(target.value);
    }, PAUSE);
  };
  const field = { "aria-label": label, placeholder, type: "search", value: text };
  return h(Input, { ...field, flex: "1 1 14rem", onChange: type, size: "sm" });
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

/** The period of a list, kept in the page's address: `{name, until}`, see {@link periodText}; its days; its setter. */
export function usePeriod() {
  const [query, change] = useAddress();
  const name = Object.hasOwn(PERIODS, query.period ?? "") ? query.period : Object.keys(PERIODS)[0];
  const until = /^\d{4}-\d\d-\d\d$/.test(query.until ?? "") ? query.until : null;
  const choose = (chosen) => change({ period: chosen.name, until: chosen.until, rows: null });
  const days = { since: firstDay(name, new Date()), ...(until && { until }) };
  return { period: { name, until }, days, choose };
}

/** The periods to choose from. */
export const PeriodChoice = ({ period, choose }) =>
  h(Choice, {
    label: "Time",
    value: period.name,
    options: Object.entries(PERIODS),
    choose: (name) => choose({ name, until: null }),
  });

/** Which days of a period a response includes, if these are not all of them, and the way to the others. */
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

/**
 * The text for a search without a result, and the ways to widen it.
 *
 * @param {{text: string, wider: [string, () => void][]}} props `wider`: the label and the action of each button
 */
export function NothingFound({ text, wider }) {
  return h(
    HStack,
    { flexWrap: "wrap", gap: 2, role: "status" },
    h(Text, { fontSize: "sm" }, text),
    ...wider.map(([label, onClick]) => h(Button, { key: label, onClick, size: "xs", variant: "outline" }, label)),
  );
}

/** The ways to widen a search: without its words and choices, and in all time. */
export const widerIn = ({ period, choose }, chosen, change) =>
  [
    chosen.length > 0 && ["Remove the filters", () => change(Object.fromEntries(chosen.map((name) => [name, null])))],
    (period.name !== "all" || period.until !== null) && ["Show all time", () => choose({ name: "all", until: null })],
  ].filter(Boolean);
