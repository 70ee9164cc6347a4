/** Each request that was paid for, the newest first: what the sums are made of. */
import { getFromPlugin } from "../api.js";
import { h } from "../parts.js";
import { Pending, useAnswer, usePages } from "./hooks.js";
import { LedgerLink } from "./ledger.js";
import { NUMBER, SecondHand, Small, Table } from "./table.js";
import { dollars, forWhat, moment, tabOf } from "./words.js";

const { Box, Heading, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const HEADS = [["Paid"], ["Video"], ["For what"], ["Run"], ["Price", NUMBER]];

export function Payments() {
  const [load, key, More] = usePages((query, signal) => getFromPlugin(["api", "payments"], query, signal), "payments");
  const seen = useAnswer(load, key);
  const { answer } = seen;
  if (answer?.payments.length === 0) return null;
  return h(
    Stack,
    { as: "section", "aria-label": "Payments", gap: 3 },
    h(Heading, { as: "h2", size: "md" }, "Each request that was paid for"),
    h(Pending, seen),
    answer &&
      h(
        Table,
        { label: "Payments", heads: HEADS },
        answer.payments.map((paid, index) => h(Payment, { key: `${index} ${paid.at} ${paid.run_id}`, paid })),
      ),
    h(More, seen),
    h(LedgerLink),
  );
}

function Payment({ paid }) {
  const name = `${paid.dag_id}, ${moment(paid.at)}`;
  const words = { minWidth: "10rem", overflowWrap: "anywhere", whiteSpace: "normal" };
  return h(
    TableRow,
    null,
    h(TableCell, { whiteSpace: "nowrap" }, moment(paid.at)),
    h(TableCell, words, paid.video),
    h(TableCell, words, forWhat(paid.what), paid.settings && h(Small, null, paid.settings)),
    h(
      TableCell,
      { overflowWrap: "anywhere", whiteSpace: "normal" },
      paid.run_exists
        ? h(Box, { color: "fg.info" }, h(Link, { "aria-label": `Run of ${name}`, to: tabOf(paid) }, paid.dag_id))
        : h(Text, null, paid.dag_id),
      !paid.run_exists && h(Small, null, "its run is deleted"),
    ),
    h(TableCell, NUMBER, dollars(paid.cost), paid.second_hand && h(SecondHand)),
  );
}
