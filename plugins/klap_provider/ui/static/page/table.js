/** A table as Airflow's own pages have them. */
import { h } from "../parts.js";

const { Text } = globalThis.ChakraUI;
const { TableBody, TableColumnHeader, TableHeader, TableRoot, TableRow, TableScrollArea } = globalThis.ChakraUI;

/** How cells with numbers look. */
export const NUMBER = { textAlign: "end", whiteSpace: "nowrap" };

/** What is said below a sum with prices in it that nobody at Klap has confirmed. */
export const SecondHand = () => h(Text, { color: "fg.muted", fontSize: "xs" }, "second-hand");

/** What is said in small below something else in a cell. */
export const Small = ({ children }) => h(Text, { color: "fg.muted", fontSize: "xs", wordBreak: "break-word" }, children);

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
