/** The delivered shorts of all runs, including deleted ones. */
import { getFromPlugin } from "../api.js";
import { Score, useNear } from "../card.js";
import { CARD, CardGrid } from "../card-grid.js";
import { ButtonRow, h, Icon, OutsideButton, RunLink } from "../components.js";
import { deliveredUrl, StoredTexts, Video } from "../delivered.js";
import { fileSize, timeText } from "../texts.js";
import { useAddress } from "./address.js";
import { DagChoice, Included, NothingFound, PeriodChoice, Search, SortChoice, usePeriod, widerIn } from "./filters.js";
import { Pending, useLimit, useResponse } from "./hooks.js";
import { TwoLines } from "./table.js";
import { countText, dollars, oneOf, periodText, priceNote, searchText, withoutEmpty } from "./texts.js";

const { Box, Flex, Heading, Stack, Text } = globalThis.ChakraUI;

const PAGE = 24;
const ORDERS = {
  "-score": "Best score first",
  "-at": "Newest first",
  at: "Oldest first",
  name: "By name",
  video: "By video",
  dag_id: "By Dag",
};

export function DeliveredShorts() {
  const [{ search = "", sort, dag = "" }, change] = useAddress();
  const time = usePeriod();
  const filters = { search, order_by: oneOf(ORDERS, sort), dag_id: dag };
  const which = withoutEmpty({ ...filters, ...time.days });
  const [limit, more] = useLimit(PAGE);
  /** @type {(signal: AbortSignal) => Promise<DeliveredShorts>} */
  const load = (signal) => getFromPlugin(["api", "shorts"], { ...which, limit }, signal);
  const seen = useResponse(load, JSON.stringify({ ...which, limit }));
  const { response, isStale } = seen;
  const chosen = ["search", "dag"].filter((name) => ({ search, dag })[name]);
  return h(
    Stack,
    { gap: 4 },
    h(Filters, { filters, time, dagIds: response?.dag_ids ?? [] }),
    h(Pending, seen),
    response &&
      h(
        Box,
        { fontSize: "sm" },
        h(Text, { "aria-live": "polite", fontWeight: "semibold" }, countText(response, "short")),
        h(Text, { color: "fg.muted" }, about(response)),
        h(Included, { ...time, since: response.since }),
      ),
    response?.total === 0 &&
      !isStale &&
      h(NothingFound, {
        text: `No short ${searchText({ search, dag })} was delivered ${periodText(time.period, response.since, new Date())}.`,
        wider: widerIn(time, chosen, change),
      }),
    response &&
      h(CardGrid, {
        isStale,
        shorts: response.shorts,
        draw: (short) => h(Card, { key: `${short.dag_id} ${short.run_id} ${short.id}`, short }),
        columns: "repeat(auto-fill, minmax(min(100%, 22rem), 1fr))",
      }),
    response && more(response.shorts.length === response.total, isStale),
  );
}

/** The note on the sum. */
const about = (/** @type {DeliveredShorts} */ { shorts }) =>
  `This is the cost of the exports only. The Cost tab includes the submissions. ${priceNote(shorts)}`.trim();

/** @param {{filters: Record<string, string>, time: ReturnType<typeof usePeriod>, dagIds: string[]}} props */
function Filters({ filters, time, dagIds }) {
  return h(
    Flex,
    { flexWrap: "wrap", gap: 2 },
    h(Search, { label: "Search shorts", placeholder: "Name, video, run or Dag", value: filters.search }),
    h(PeriodChoice, time),
    h(SortChoice, { orders: ORDERS, value: filters.order_by }),
    h(DagChoice, { dagIds, value: filters.dag_id }),
  );
}

/** @param {{short: DeliveredShort}} props */
function Card({ short }) {
  const run = ["dags", short.dag_id, "runs", short.run_id];
  return h(
    Flex,
    { ...CARD, minWidth: 0 },
    h(Frame, { name: short.name, src: deliveredUrl(run, short) }),
    h(
      Flex,
      { direction: "column", flex: 1, gap: 2, minWidth: 0, p: 3 },
      h(Heading, { as: "h3", dir: "auto", size: "sm", wordBreak: "break-word" }, short.name),
      h(Score, { short, isNarrow: true }),
      h(
        Box,
        { color: "fg.muted", fontSize: "xs" },
        short.run_name &&
          !short.video?.endsWith(short.run_name) &&
          h(Box, { color: "fg" }, h(TwoLines, null, short.run_name)),
        short.video && h(Box, null, h(TwoLines, null, short.video)),
        short.settings && h(Box, null, `With ${short.settings}`),
        h(Box, null, `${timeText(short.at)} · ${fileSize(short.size)} · ${dollars(short.cost)}`),
      ),
      h(Box, { flex: 1 }),
      h(
        ButtonRow,
        null,
        h(
          OutsideButton,
          { href: deliveredUrl(run, short, { download: 1 }), icon: "download", label: `Download ${short.name}` },
          "Download",
        ),
        short.run_name !== null &&
          h(RunLink, { run, label: `Run of ${short.name}` }, h(Icon, { name: "short" }), "Run"),
        h(StoredTexts, { short, run }),
      ),
    ),
  );
}

/** @param {{name: string, src: string}} props */
function Frame({ name, src }) {
  const [box, isNear] = useNear();
  const frame = {
    alignSelf: "flex-start",
    aspectRatio: 9 / 16,
    bg: "black",
    flexShrink: 0,
    position: "relative",
    width: { base: "28", sm: "32" },
  };
  return h(Box, { ref: box, ...frame }, isNear && h(Video, { name, src }));
}
