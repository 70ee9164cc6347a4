/** The watched sources. */
import { errorText, getFromPlugin, post } from "../api.js";
import { h, Muted, PageLink, SmallButton } from "../components.js";
import { ErrorBoundary, Notice } from "../messages.js";
import { timeText } from "../texts.js";
import { ALWAYS, Pending, useResponse } from "./hooks.js";
import { Small, Table, TwoLines } from "./table.js";
import { itemText, tabPath } from "./texts.js";

const { useState } = globalThis.React;
const { Flex, Heading, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;

const HEADS = [["Item"], ["State"], ["Actions"]];
const LISTS = /** @type {const} */ (["waiting", "started", "skipped"]);
const FORBIDDEN = "You need the permission to trigger the Dag of this source. Ask an administrator.";

/** @type {(signal: AbortSignal) => Promise<Sources>} */
const load = (signal) => getFromPlugin(["api", "sources"], {}, signal);

export function Sources() {
  const seen = useResponse(load, "sources", ALWAYS);
  const found = seen.response?.sources;
  return h(
    Stack,
    { as: "section", "aria-label": "Sources", gap: 6 },
    h(Pending, seen),
    found?.length === 0 && h(Text, { color: "fg.muted" }, "No Dag of klap_watch has checked a source yet."),
    ...(found ?? []).map((source) => h(ErrorBoundary, { key: source.name }, h(WatchedSource, { source }))),
  );
}

/** @param {{source: Source}} props */
function WatchedSource({ source }) {
  const [notice, setNotice] = useState(/** @type {{status: "error" | "success", text: string} | null} */ (null));
  const check = async (/** @type {object} */ conf, /** @type {string} */ text) => {
    try {
      await post(["dags", source.dag_id, "dagRuns"], { conf, logical_date: null });
      setNotice({ status: "success", text });
    } catch (error) {
      setNotice({ status: "error", text: errorText(error, FORBIDDEN) });
    }
  };
  const more = source.waits - source.waiting.length;
  const rows = LISTS.flatMap((list) =>
    source[list].map((item) => h(Row, { key: `${list} ${item.id}`, check, item, list, source })),
  );
  return h(
    Stack,
    { as: "section", "aria-label": `Source ${source.name}`, gap: 2 },
    h(
      Flex,
      { alignItems: "center", flexWrap: "wrap", gap: 3 },
      h(Heading, { as: "h2", size: "md" }, source.name),
      h(SmallButton, { onClick: () => check({}, "A check was started.") }, "Check now"),
    ),
    h(Text, { fontSize: "sm" }, factsOf(source)),
    source.error && h(Notice, { status: "error" }, source.error),
    source.paused && h(Notice, { status: "warning" }, `Paused: ${source.paused}`),
    notice && h(Notice, { status: notice.status }, notice.text),
    rows.length > 0 && h(Table, { heads: HEADS, label: `Items of ${source.name}` }, ...rows),
    more > 0 && h(Muted, null, `${more} more wait.`),
  );
}

/** Return the facts of a source in one line. */
function factsOf(/** @type {Source} */ source) {
  return [
    source.checked_at && `Last check ${timeText(source.checked_at)}`,
    source.next_start && `next start ${timeText(source.next_start)}`,
    source.waits === 1 ? "1 item waits" : `${source.waits} items wait`,
    `checked by ${source.dag_id}`,
    `starts ${source.trigger_dag_id}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/**
 * @param {object} props
 * @param {(conf: object, text: string) => void} props.check starts a check
 * @param {SourceItem} props.item
 * @param {typeof LISTS[number]} props.list the list that the item is in
 * @param {Source} props.source
 */
function Row({ check, item, list, source }) {
  const run = source.trigger_dag_id && item.run_id ? { dag_id: source.trigger_dag_id, run_id: item.run_id } : null;
  const button = (/** @type {string} */ label, /** @type {object} */ conf, /** @type {string} */ text) =>
    h(SmallButton, { "aria-label": `${label}: ${item.title}`, onClick: () => check(conf, text) }, label);
  const title = h(TwoLines, null, item.title);
  const start = () => button("Start now", { start: [item.id] }, "The item starts with the check that was started.");
  const skip = () => button("Skip", { skip: [item.id] }, "The item is skipped by the check that was started.");
  return h(
    TableRow,
    null,
    h(TableCell, { minWidth: "10rem", whiteSpace: "normal" }, run ? h(PageLink, { to: tabPath(run) }, title) : title),
    h(TableCell, { whiteSpace: "normal" }, h(Small, null, itemText(list, item))),
    h(TableCell, null, list !== "started" && h(Flex, { gap: 2 }, start(), list === "waiting" && skip())),
  );
}
