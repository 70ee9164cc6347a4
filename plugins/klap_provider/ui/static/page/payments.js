/** Each request that was paid for, the newest first: what the sums are made of. */
import { getFromPlugin } from "../api.js";
import { h } from "../parts.js";
import { momentWords } from "../words.js";
import { DagChoice, Search } from "./filters.js";
import { Pending, useAnswer, usePages } from "./hooks.js";
import { LedgerLink } from "./ledger.js";
import { MOMENT, NUMBER, SecondHand, Short, Small, Table } from "./table.js";
import { dollars, forWhat, found, tabOf } from "./words.js";

const { useDeferredValue, useState } = globalThis.React;
const { Box, Flex, Heading, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;
const { Link } = globalThis.ReactRouterDOM;

const HEADS = [["Paid"], ["Video"], ["For what"], ["Run"], ["Price", NUMBER]];

/** `run`: the one whose payments are shown, `{run_dag_id, run_id}`; null: those of all. */
export function Payments({ run }) {
  const [asked, setAsked] = useState({ search: "", dag_id: "" });
  const query = useDeferredValue(asked);
  const which = Object.fromEntries(Object.entries({ ...query, ...run }).filter(([, value]) => value));
  const read = (page, signal) => getFromPlugin(["api", "payments"], { ...which, ...page }, signal);
  const [load, key, More] = usePages(read, "payments", JSON.stringify(which));
  const seen = useAnswer(load, key);
  const { answer, isStale } = seen;
  const change = (more) => setAsked({ ...asked, ...more });
  if (answer?.total === 0 && Object.keys(which).length === 0 && !isStale) return null;
  return h(
    Stack,
    { as: "section", "aria-label": "Payments", gap: 3 },
    h(Heading, { as: "h2", size: "md" }, run ? "What this run has paid for" : "Each request that was paid for"),
    run && h(OfRun, { run, name: answer?.run_name }),
    h(
      Flex,
      { flexWrap: "wrap", gap: 2 },
      h(Search, {
        label: "Search payments",
        placeholder: "Video, short, run or Dag",
        value: asked.search,
        change: (search) => change({ search }),
      }),
      !run &&
        h(DagChoice, {
          dagIds: answer?.dag_ids ?? [],
          value: asked.dag_id,
          choose: (dag_id) => change({ dag_id }),
        }),
    ),
    h(Pending, seen),
    answer && h(Text, { "aria-live": "polite", fontSize: "sm", fontWeight: "semibold" }, found(answer, "request")),
    answer?.total > 0 &&
      h(
        Table,
        { "aria-busy": isStale, label: "Payments", heads: HEADS },
        answer.payments.map((paid, index) => h(Payment, { key: `${index} ${paid.at} ${paid.run_id}`, paid })),
      ),
    h(More, seen),
    h(LedgerLink),
  );
}

function OfRun({ run, name }) {
  const its = { dag_id: run.run_dag_id, run_id: run.run_id };
  return h(
    Flex,
    { color: "fg.info", columnGap: 4, flexWrap: "wrap", fontSize: "sm", rowGap: 1 },
    name ? h(Link, { to: tabOf(its) }, name) : h(Text, { color: "fg" }, run.run_id),
    h(Link, { to: "/plugin/klap?view=cost" }, "All runs"),
  );
}

function Payment({ paid }) {
  const name = `${paid.run_name}, ${momentWords(paid.at)}`;
  const words = { minWidth: "10rem", whiteSpace: "normal" };
  return h(
    TableRow,
    null,
    h(TableCell, MOMENT, momentWords(paid.at)),
    h(TableCell, words, h(Short, null, paid.video)),
    h(TableCell, words, h(Short, null, forWhat(paid.what)), paid.settings && h(Small, null, paid.settings)),
    h(
      TableCell,
      words,
      paid.run_name === null
        ? h(Small, null, "its run is deleted")
        : h(
            Box,
            { color: "fg.info" },
            h(Link, { "aria-label": `Run of ${name}`, to: tabOf(paid) }, h(Short, null, paid.run_name)),
          ),
      h(Small, null, paid.dag_id),
    ),
    h(TableCell, NUMBER, dollars(paid.cost), paid.estimated && h(SecondHand)),
  );
}
