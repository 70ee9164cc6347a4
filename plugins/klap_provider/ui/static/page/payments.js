/** The paid requests, newest first. */
import { getFromPlugin, pluginUrl } from "../api.js";
import { h, PageLink, SmallButton } from "../components.js";
import { timeText } from "../texts.js";
import { useAddress } from "./address.js";
import { DagChoice, NothingFound, Search } from "./filters.js";
import { Pending, useLimit, useResponse } from "./hooks.js";
import { LedgerLink } from "./ledger-link.js";
import { NUMBER, PriceNote, Small, Table, TIME, TwoLines } from "./table.js";
import { countText, dollars, requestText, searchText, tabPath, withoutEmpty } from "./texts.js";

const { Flex, Heading, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;

const HEADS = [["Paid on"], ["Video"], ["Request"], ["Run"], ["Cost", NUMBER]];

/**
 * @typedef {{run_dag_id: string, run_id: string}} RunKey
 * @param {object} props
 * @param {RunKey | null} props.run only its payments; null: those of all runs
 * @param {{since?: string, until?: string}} props.days the first and the last one
 */
export function Payments({ run, days }) {
  const [{ search = "", dag = "" }, change] = useAddress();
  const which = withoutEmpty({ search, dag_id: run ? "" : dag, ...run });
  const [limit, more] = useLimit();
  /** @type {(signal: AbortSignal) => Promise<Payments>} */
  const load = (signal) => getFromPlugin(["api", "payments"], { ...which, ...days, limit }, signal);
  const seen = useResponse(load, JSON.stringify({ ...which, ...days, limit }));
  const { response, isStale } = seen;
  const payments = response?.payments ?? [];
  if (response?.total === 0 && Object.keys(which).length === 0 && !isStale) return null;
  return h(
    Stack,
    { as: "section", "aria-label": "Paid requests", gap: 3 },
    h(Heading, { as: "h2", size: "md" }, run ? "Paid requests of this run" : "Paid requests"),
    run && h(OfRun, { run, name: response?.run_name }),
    h(
      Flex,
      { flexWrap: "wrap", gap: 2 },
      h(Search, { label: "Search paid requests", placeholder: "Video, short, run or Dag", value: search }),
      !run && h(DagChoice, { dagIds: response?.dag_ids ?? [], value: dag }),
    ),
    h(Pending, seen),
    response &&
      h(Text, { "aria-live": "polite", fontSize: "sm", fontWeight: "semibold" }, countText(response, "request")),
    response?.total === 0 &&
      !isStale &&
      h(NothingFound, {
        text: `${["No paid request", searchText({ search, dag })].filter(Boolean).join(" ")}.`,
        wider: search || dag ? [["Remove the filters", () => change({ search: null, dag: null })]] : [],
      }),
    payments.length > 0 &&
      h(
        Table,
        { "aria-busy": isStale, label: "Paid requests", heads: HEADS },
        payments.map((paid, index) => h(PaymentRow, { key: `${index} ${paid.at} ${paid.run_id}`, paid })),
      ),
    run && response && h(PriceNote, { rows: response.payments }),
    response && more(response.payments.length === response.total, isStale),
    h(
      Flex,
      { gap: 2 },
      payments.length > 0 &&
        h(
          SmallButton,
          { asChild: true },
          h(
            "a",
            { download: true, href: pluginUrl(["api", "payments", "export"], { ...which, ...days }).href },
            "Download CSV",
          ),
        ),
      h(LedgerLink),
    ),
  );
}

/** @param {{run: RunKey, name?: string | null}} props */
function OfRun({ run, name }) {
  const its = { dag_id: run.run_dag_id, run_id: run.run_id };
  return h(
    Flex,
    { columnGap: 4, flexWrap: "wrap", fontSize: "sm", rowGap: 1 },
    name ? h(PageLink, { to: tabPath(its) }, name) : h(Text, null, run.run_id),
    h(PageLink, { replace: false, to: "/plugin/klap?view=cost" }, "All runs"),
  );
}

/** @param {{paid: Payment}} props */
function PaymentRow({ paid }) {
  const name = `${paid.run_name}, ${timeText(paid.at)}`;
  const wide = { minWidth: "10rem", whiteSpace: "normal" };
  return h(
    TableRow,
    null,
    h(TableCell, TIME, timeText(paid.at)),
    h(TableCell, wide, h(TwoLines, null, paid.video)),
    h(TableCell, wide, h(TwoLines, null, requestText(paid.what)), paid.settings && h(Small, null, paid.settings)),
    h(
      TableCell,
      wide,
      paid.run_name === null
        ? h(Small, null, "deleted run")
        : h(PageLink, { label: `Run of ${name}`, to: tabPath(paid) }, h(TwoLines, null, paid.run_name)),
      h(Small, null, paid.dag_id),
    ),
    h(TableCell, NUMBER, dollars(paid.cost)),
  );
}
