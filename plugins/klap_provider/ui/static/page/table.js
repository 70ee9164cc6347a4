/** A table in the style of Airflow's own pages, and the contents of its cells. */
import { h, Muted, PageLink } from "../components.js";
import { costPath } from "../texts.js";
import { addressParts, dollars, priceNote } from "./texts.js";

const { Box, Text } = globalThis.ChakraUI;
const { TableBody, TableColumnHeader, TableHeader, TableRoot, TableRow, TableScrollArea } = globalThis.ChakraUI;

/** The style of cells with numbers. */
export const NUMBER = { textAlign: "end", whiteSpace: "nowrap" };

/** The style of cells with times: one line, if the window is wide enough. */
export const TIME = { minWidth: "6.5rem", whiteSpace: { base: "normal", xl: "nowrap" } };

/** The note on estimated prices, if one of the rows has one. */
export function PriceNote(/** @type {{rows: {cost: number | null, estimated: boolean}[]}} */ { rows }) {
  const note = priceNote(rows);
  return note && h(Muted, null, note);
}

/** Small text below the other text of a cell. */
export const Small = (/** @type {{children?: any}} */ { children }) =>
  h(Text, { color: "fg.muted", fontSize: "xs", overflowWrap: "anywhere" }, children);

/** A long name or address, cut after two lines unless it has a `title`. Its title has all of it. */
export function TwoLines(/** @type {{title?: string, children?: any}} */ { title, children }) {
  const parts = addressParts(children).flatMap((part, index) => (index ? [h("wbr", { key: index }), part] : [part]));
  return h(
    Text,
    { as: "span", dir: "auto", lineClamp: title ? undefined : 2, overflowWrap: "anywhere", title: title ?? children },
    ...parts,
  );
}

/**
 * The cost of a run, with a link to its paid requests.
 *
 * @param {{run: {dag_id: string, run_id: string, cost: number | null, budget: number | null}, name: string}} props
 */
export function RunCost({ run, name }) {
  const { cost, budget } = run;
  // The router does not know what `useAddress` has opened since: it would replace an entry of the history.
  const link = { label: `${dollars(cost)}, paid by ${name}`, replace: false, to: costPath(run) };
  return h(
    Box,
    null,
    cost === null ? dollars(cost) : h(PageLink, link, dollars(cost)),
    budget !== null && h(Small, null, `of ${dollars(budget)}`),
  );
}

/**
 * @param {{label: string, heads: any[][], children?: any, [style: string]: any}} props the children
 *   are the rows
 */
export function Table({ label, heads, children, ...style }) {
  const columns = heads.map(([title, more]) => h(TableColumnHeader, { key: title, ...more }, title));
  return h(
    TableScrollArea,
    style,
    h(
      TableRoot,
      { "aria-label": label, size: "sm" },
      h(TableHeader, null, h(TableRow, null, ...columns)),
      h(TableBody, null, children),
    ),
  );
}
