/** A table as Airflow's own pages have them, and what is in its cells. */
import { h } from "../parts.js";
import { costOf } from "../words.js";
import { SECOND_HAND, addressParts, dollars } from "./words.js";

const { Box, Text } = globalThis.ChakraUI;
const { TableBody, TableColumnHeader, TableHeader, TableRoot, TableRow, TableScrollArea } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

/** How cells with numbers look. */
export const NUMBER = { textAlign: "end", whiteSpace: "nowrap" };

/** How cells with moments look: in one line, where there is room. */
export const MOMENT = { minWidth: "6.5rem", whiteSpace: { base: "normal", xl: "nowrap" } };

/** What is said below a sum with estimated prices in it. */
export const SecondHand = () => h(Text, { color: "fg.muted", fontSize: "xs", title: SECOND_HAND }, "estimated");

/** What that means, once on a page. */
export const AboutPrices = () => h(Text, { color: "fg.muted", fontSize: "sm" }, SECOND_HAND);

/** What is said in small below something else in a cell. */
export const Small = ({ children }) =>
  h(Text, { color: "fg.muted", fontSize: "xs", overflowWrap: "anywhere" }, children);

/** Two lines of what may be long: a name, or an address, which breaks between its parts. All of it is in the title. */
export function Short({ children }) {
  const parts = addressParts(children).flatMap((part, index) => (index ? [h("wbr", { key: index }), part] : [part]));
  return h(Text, { as: "span", dir: "auto", lineClamp: 2, overflowWrap: "anywhere", title: children }, ...parts);
}

/** What a run has cost, which leads to what it was paid for. */
export function Cost({ run, name }) {
  const { cost, estimated, budget } = run;
  const link = { "aria-label": `${dollars(cost)}, paid by ${name}`, to: costOf(run) };
  return h(
    Box,
    null,
    cost === null ? dollars(cost) : h(Box, { as: "span", color: "fg.info" }, h(Link, link, dollars(cost))),
    budget !== null && h(Small, null, `of ${dollars(budget)}`),
    estimated && h(SecondHand),
  );
}

/** `heads`: the words above each column, and how they look; the children are the rows. */
export function Table({ label, heads, children, ...look }) {
  const columns = heads.map(([words, more]) => h(TableColumnHeader, { key: words, ...more }, words));
  return h(
    TableScrollArea,
    look,
    h(
      TableRoot,
      { "aria-label": label, size: "sm" },
      h(TableHeader, null, h(TableRow, null, ...columns)),
      h(TableBody, null, children),
    ),
  );
}
