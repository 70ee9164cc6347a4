/** The cost by day or month and by Dag, compared with the budgets; or the paid requests of one run. */
import { getFromPlugin } from "../api.js";
import { Bar, h, Muted } from "../components.js";
import { ErrorBoundary } from "../messages.js";
import { useAddress } from "./address.js";
import { columns, lines, unitOf } from "./chart.js";
import { Included, PeriodChoice, usePeriod } from "./filters.js";
import { Pending, useResponse } from "./hooks.js";
import { Payments } from "./payments.js";
import { NUMBER, Table } from "./table.js";
import { dayText, dollars, limitUse, percentOf, periodText, priceNote } from "./texts.js";

const { Box, Flex, Heading, HStack, Stack, TableCell, TableRow, Text } = globalThis.ChakraUI;

const COLOURS = ["blue", "orange", "teal", "purple", "pink", "cyan"];
/** @param {number} index */
const colourOf = (index) => `${COLOURS[index % COLOURS.length]}.solid`;
const [WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM] = [900, 260, 60, 20, 24];

export function CostView() {
  const [{ dag_id: run_dag_id, run_id }] = useAddress();
  const run = run_dag_id && run_id ? { run_dag_id, run_id } : null;
  return run ? h(Payments, { run, days: {} }) : h(AllCosts);
}

function AllCosts() {
  const time = usePeriod();
  /** @type {(signal: AbortSignal) => Promise<Spending>} */
  const load = (signal) => getFromPlugin(["api", "spending"], time.days, signal);
  const seen = useResponse(load, JSON.stringify(time.days));
  const { response, isStale } = seen;
  return h(
    Stack,
    { gap: 5 },
    h(Flex, null, h(PeriodChoice, time)),
    h(Pending, seen),
    response?.limits.map((limit) => h(LimitUse, { key: `${limit.kind} ${limit.name}`, limit })),
    response && !isStale && h(Included, { ...time, since: response.since }),
    response && !isStale && h(ErrorBoundary, null, h(SpendingOf, { ...response, period: time.period })),
    h(ErrorBoundary, null, h(Payments, { run: null, days: time.days })),
  );
}

/** How far a limit of this month is used. */
function LimitUse(/** @type {{limit: MonthlyLimit}} */ { limit }) {
  const { label, percent, isReached } = limitUse(limit);
  const text = `${dollars(limit.used)} of ${dollars(limit.limit)} paid or reserved`;
  return h(
    Stack,
    { gap: 1, maxWidth: `${WIDTH}px` },
    h(Text, { fontSize: "sm" }, label),
    h(Used, { label, percent, text, isOver: isReached }),
  );
}

/**
 * A bar that shows how far a sum is used, and the text beside it.
 *
 * @param {{label: string, percent: number, text: string, isOver: boolean}} props
 */
const Used = ({ label, percent, text, isOver }) =>
  h(
    HStack,
    { gap: 2 },
    h(Bar, { role: "meter", label, percent, text, color: isOver ? "failed.solid" : "brand.solid" }),
    h(Text, { flexShrink: 0, fontSize: "sm" }, text),
  );

/** @param {Spending & {period: {name: string, until: string | null}}} props */
function SpendingOf({ days, dags, since, period }) {
  if (dags.length === 0) return h(Text, { color: "fg.muted" }, "No payments in this period.");
  const now = new Date();
  const total = dags.reduce((sum, { cost }) => sum + cost, 0);
  const estimate = dags.some(({ estimated }) => estimated) ? " (estimated)" : "";
  const first = period.name === "all" ? days[0].day : since;
  return h(
    Stack,
    { gap: 5 },
    h(Heading, { as: "h2", size: "md" }, `${dollars(total)} ${periodText(period, since, now)}${estimate}`),
    h(Chart, { days, dagIds: dags.map(({ dag_id: dagId }) => dagId), first, last: period.until ?? dayText(now) }),
    h(
      Table,
      { label: "By Dag", heads: HEADS, maxWidth: `${WIDTH}px` },
      dags.map((dag, index) => h(DagRow, { key: dag.dag_id, dag, color: colourOf(index) })),
    ),
    h(
      Text,
      { color: "fg.muted", fontSize: "sm" },
      `Calculated from the ledger, with the prices of each connection. ${priceNote(dags)} Days are UTC days.`,
    ),
  );
}

/** @param {{days: DayCost[], dagIds: string[], first: string, last: string}} props */
function Chart({ days, dagIds, first, last }) {
  const bars = columns(days, first, last, dagIds);
  const levels = lines(Math.max(...bars.map(({ total }) => total)));
  const [inner, top] = [HEIGHT - BOTTOM - 8, Math.max(...levels)];
  const y = (/** @type {number} */ cost) => 8 + inner * (1 - cost / top);
  const step = (WIDTH - LEFT - RIGHT) / bars.length;
  const every = Math.ceil(bars.length / 12);
  const text = { fill: "currentColor", style: { fontSize: "13px" } };
  const label = `Cost by ${unitOf(first, last)}: ${bars
    .filter(({ total }) => total > 0)
    .map((bar) => `${bar.label} ${dollars(bar.total)}`)
    .join(", ")}`;
  return h(
    Box,
    { color: "fg.muted", overflowX: "auto" },
    h(
      "svg",
      {
        "aria-label": label,
        role: "img",
        style: { maxWidth: `${WIDTH}px`, minWidth: "560px" },
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        width: "100%",
      },
      ...levels.flatMap((level) => [
        h("line", {
          key: `line ${level}`,
          opacity: 0.25,
          stroke: "currentColor",
          x1: LEFT,
          x2: WIDTH - RIGHT,
          y1: y(level),
          y2: y(level),
        }),
        h("text", { key: `text ${level}`, ...text, textAnchor: "end", x: LEFT - 8, y: y(level) + 4 }, dollars(level)),
      ]),
      ...bars.map((bar, index) =>
        h(
          "g",
          { key: bar.key },
          h("title", null, `${bar.label}: ${dollars(bar.total)}`),
          h("rect", { fill: "transparent", height: inner, width: step, x: LEFT + index * step, y: 8 }),
          ...bar.parts.map(({ dagId, from, to }) =>
            h(Box, {
              as: "rect",
              fill: colourOf(dagIds.indexOf(dagId)),
              height: Math.max(1, y(from) - y(to)),
              key: dagId,
              width: step * 0.7,
              x: LEFT + (index + 0.15) * step,
              y: y(to),
            }),
          ),
          (bars.length - 1 - index) % every === 0 &&
            h("text", { ...text, textAnchor: "middle", x: LEFT + (index + 0.5) * step, y: HEIGHT - 6 }, bar.label),
        ),
      ),
    ),
  );
}

const HEADS = [["Dag"], ["Runs that paid", NUMBER], ["Cost", NUMBER], ["Budget used", { minWidth: "14rem" }]];

/** @param {{dag: DagCost, color: string}} props */
function DagRow({ dag, color }) {
  return h(
    TableRow,
    null,
    h(
      TableCell,
      { wordBreak: "break-word" },
      h(
        Flex,
        { alignItems: "center", gap: 2 },
        h(Box, { bg: color, borderRadius: "sm", boxSize: 3, flexShrink: 0 }),
        dag.dag_id,
      ),
    ),
    h(TableCell, NUMBER, dag.runs),
    h(TableCell, NUMBER, dollars(dag.cost)),
    h(TableCell, null, h(Budget, dag)),
  );
}

/** @param {DagCost} dag */
function Budget({ dag_id: dagId, budget, budgeted }) {
  if (budget === null || budgeted === null) return h(Muted, null, "No run has a budget");
  const text = `${dollars(budgeted)} of ${dollars(budget)}`;
  const percent = percentOf(budgeted, budget);
  return h(Used, { label: `Budget used by ${dagId}`, percent, text, isOver: budgeted > budget });
}
