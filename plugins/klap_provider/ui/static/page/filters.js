/** The filters of a list. */
import { Choice, h, SmallButton } from "../components.js";
import { useAddress } from "./address.js";
import { dayText, firstDay, oneOf, PERIODS, periodText } from "./texts.js";

const { useEffect, useRef, useState } = globalThis.React;
const { HStack, Input, Text } = globalThis.ChakraUI;

const PAUSE = 300; // ms

/**
 * A search field. It changes the page's address when the user pauses.
 *
 * @param {{label: string, placeholder: string, value: string}} props
 */
export function Search({ label, placeholder, value }) {
  const [, change] = useAddress();
  const [text, setText] = useState(value);
  const timer = useRef(/** @type {number | undefined} */ (undefined));
  useEffect(() => {
    if (timer.current === undefined) setText(value); // the user went back
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (/** @type {any} */ { target }) => {
    setText(target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      timer.current = undefined;
      change({ search: target.value, rows: null }, true);
    }, PAUSE);
  };
  const field = { "aria-label": label, placeholder, type: "search", value: text };
  return h(Input, { ...field, flex: "1 1 14rem", onChange: type, size: "sm" });
}

/**
 * The orders to choose from.
 *
 * @param {{orders: Record<string, string>, value: string}} props `orders`: their names by value
 */
export function SortChoice({ orders, value }) {
  const [, change] = useAddress();
  return h(Choice, { label: "Sort by", value, options: Object.entries(orders), choose: (sort) => change({ sort }) });
}

/** The Dags to choose from, if there are several. */
export function DagChoice(/** @type {{dagIds: string[], value: string}} */ { dagIds, value }) {
  const [, change] = useAddress();
  if (dagIds.length < 2) return null;
  const options = [["", "All Dags"], ...dagIds.map((dagId) => [dagId, dagId])];
  return h(Choice, { label: "Dag", value, options, choose: (dag) => change({ dag, rows: null }) });
}

/**
 * The period of a list, kept in the page's address, its days, and its setter.
 *
 * @typedef {{name: string, until: string | null}} Period see {@link periodText}
 * @returns {{period: Period, days: {since: string, until?: string}, choose: (period: Period) => void}}
 */
export function usePeriod() {
  const [query, change] = useAddress();
  const name = oneOf(PERIODS, query.period);
  const until = /^\d{4}-\d\d-\d\d$/.test(query.until ?? "") ? query.until : null;
  const choose = (/** @type {Period} */ chosen) => change({ period: chosen.name, until: chosen.until, rows: null });
  const days = { since: firstDay(name, new Date()), ...(until && { until }) };
  return { period: { name, until }, days, choose };
}

/** The periods to choose from. */
export const PeriodChoice = (/** @type {ReturnType<typeof usePeriod>} */ { period, choose }) =>
  h(Choice, {
    label: "Time",
    value: period.name,
    options: Object.entries(PERIODS),
    choose: (name) => choose({ name, until: null }),
  });

/**
 * Which days of a period a response includes, if these are not all of them, and the way to the others.
 *
 * @param {{period: Period, since: string, choose: (period: Period) => void}} props `since`: the first day that the response includes
 */
export function Included({ period, since, choose }) {
  const isCut = since > firstDay(period.name, new Date());
  if (!isCut && period.until === null) return null;
  const link = (/** @type {string} */ label, /** @type {string | null} */ until) =>
    h(SmallButton, { onClick: () => choose({ ...period, until }) }, label);
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
    ...wider.map(([label, onClick]) => h(SmallButton, { key: label, onClick }, label)),
  );
}

/**
 * The ways to widen a search: without its words and choices, and in all time.
 *
 * @param {ReturnType<typeof usePeriod>} time
 * @param {string[]} chosen the parameters of the words and choices
 * @param {import("./address.js").Change} change
 */
export function widerIn({ period, choose }, chosen, change) {
  /** @type {[string, () => void][]} */
  const wider = [];
  if (chosen.length > 0)
    wider.push(["Remove the filters", () => change(Object.fromEntries(chosen.map((name) => [name, null])))]);
  if (period.name !== "all" || period.until !== null)
    wider.push(["Show all time", () => choose({ name: "all", until: null })]);
  return wider;
}
