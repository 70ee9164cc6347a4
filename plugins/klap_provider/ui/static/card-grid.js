/** A list of cards, and the shorts that are picked in it. */
import { h } from "./components.js";
import { ErrorBoundary } from "./messages.js";
import { toggled } from "./selection.js";

const { useCallback, useDeferredValue, useId, useState } = globalThis.React;
const { Flex, HStack, SimpleGrid } = globalThis.ChakraUI;

/** The border of a card. */
export const CARD = { as: "li", borderColor: "border.emphasized", borderRadius: 8, borderWidth: 1, overflow: "hidden" };

const FIRST = 8; // cards, about a screen of them

/**
 * Cards side by side. The first ones are drawn before all others.
 *
 * @param {object} props
 * @param {any[]} props.shorts
 * @param {(short: any) => any} props.draw returns the card of a short, with a key
 * @param {string} [props.columns]
 * @param {boolean} [props.isStale]
 */
export function CardGrid({ shorts, draw, columns = "repeat(auto-fill, minmax(min(100%, 24rem), 1fr))", isStale }) {
  const shown = useDeferredValue(shorts, shorts.slice(0, FIRST));
  const cards = shown.map(draw).map((card) => h(ErrorBoundary, { as: "li", key: card.key }, card));
  return h(
    SimpleGrid,
    { "aria-busy": isStale, alignItems: "start", as: "ul", role: "list", gap: 3, gridTemplateColumns: columns },
    ...cards,
  );
}

/**
 * A checkbox with its text beside it.
 *
 * @param {{isTicked: boolean, toggle: () => void, label: string, children?: any}} props `label`: the accessible name
 */
export function Tick({ isTicked, toggle, label, children }) {
  const box = useId();
  const input = { "aria-label": label, checked: isTicked, id: box, onChange: toggle, type: "checkbox" };
  return h(
    HStack,
    { as: "label", cursor: "pointer", fontSize: "sm", fontWeight: "semibold", gap: 2, htmlFor: box },
    h("input", { ...input, style: { accentColor: "currentColor", flexShrink: 0, height: "1.1rem", width: "1.1rem" } }),
    children,
  );
}

/** What was picked. Airflow may mount the tab again at any time. */
const kept = new Map();

/**
 * A set of ids that the user picks.
 *
 * @param {string} key identifies the set; it must not change
 * @param {() => string[]} [initial] the ids that are picked at first
 */
export function usePicks(key, initial = () => []) {
  const [picks, setPicks] = useState(() => kept.get(key) ?? new Set(initial()));
  const change = useCallback(
    (/** @type {(before: Set<string>) => Set<string>} */ by) =>
      setPicks((/** @type {Set<string>} */ before) => {
        kept.set(key, by(before));
        return kept.get(key);
      }),
    [key],
  );
  const toggle = useCallback((/** @type {string} */ id) => change((before) => toggled(before, id)), [change]);
  return { picks, toggle, replace: (/** @type {string[]} */ ids) => change(() => new Set(ids)) };
}

/** The actions on the ticked shorts. The bar stays visible at the end of the list. */
export function ActionBar(/** @type {{children?: any}} */ { children }) {
  const style = { bg: "bg", borderRadius: "md", borderWidth: 1, boxShadow: "md", p: 3 };
  const lines = { alignItems: "center", columnGap: 3, flexWrap: "wrap", rowGap: 2 };
  return h(Flex, { ...style, ...lines, bottom: 0, position: "sticky", zIndex: 1 }, children);
}
