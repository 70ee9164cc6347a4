/** Further exports of the same video: what was not selected, and the runs that export it after all. */
import { ActButton, Acting, clear, exportMore } from "./acting.js";
import { get } from "./api.js";
import { LeftOutCard, ShortCard } from "./card.js";
import { canExport, morePrefix } from "./orders.js";
import { ActionBar, CardGrid, Notice, RunLink, State, h } from "./parts.js";
import { billOf, toggled } from "./pick.js";
import { costWords, momentWords, money } from "./words.js";

const { Fragment, useCallback, useContext, useEffect, useState } = globalThis.React;
const { HStack, Heading, Stack, Text } = globalThis.ChakraUI;

/** The shorts that were not selected, to be ticked and exported after all. */
export function LeftOut({ shorts, run }) {
  const { form, started, story } = useContext(Acting);
  const [ticked, setTicked] = useState(() => new Set());
  const toggle = useCallback((id) => setTicked((before) => toggled(before, id)), []);
  const isPossible = canExport(form?.params, story.isWhole) && story.klapTaskId !== null;
  const chosen = shorts.filter(({ id }) => ticked.has(id));
  const bill = billOf(chosen, story.offer && { ...story.offer, room: null });
  const price = story.offer ? ` · ${money(story.offer.price)}` : "";
  const sum = bill.total === null ? "" : ` · ${money(bill.total)}`;
  // As a flag, too: functions do not count when cards are compared.
  const tickOf = ({ id, exported }) =>
    isPossible ? { canTick: true, isTicked: ticked.has(id), price: exported ? " · free" : price, toggle } : {};
  const order = async () => {
    const ids = chosen.map(({ id }) => id);
    started(await exportMore(run, ids));
    setTicked(new Set());
  };
  return h(
    Stack,
    { as: "section", "aria-label": "Not selected", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, `Not selected (${shorts.length})`),
    h(CardGrid, { shorts, draw: (short) => h(LeftOutCard, { key: short.id, short, run, ...tickOf(short) }) }),
    chosen.length > 0 &&
      h(
        ActionBar,
        null,
        h(
          ActButton,
          { act: "start", colorPalette: "brand", variant: "solid", work: order },
          `Export ${chosen.length} more${sum}`,
        ),
        h(Text, { "aria-live": "polite", color: "fg.muted", fontSize: "sm" }, bill.words),
        form.isPaused && h(Text, { fontSize: "sm" }, "This Dag is paused: it waits until somebody unpauses it."),
      ),
  );
}

/** The runs that export further shorts of one of Klap's tasks, newest first, but for the given one; and what adds one. */
export function useLaterRuns(dagId, runId, klapTaskId) {
  const [runs, setRuns] = useState([]);
  useEffect(() => {
    const abort = new AbortController();
    setRuns([]);
    if (klapTaskId) {
      const query = { run_id_prefix_pattern: morePrefix(klapTaskId), order_by: "-run_after", limit: 50 };
      const show = ({ dag_runs: found }) => setRuns(found.filter((run) => run.dag_run_id !== runId));
      get(["dags", dagId, "dagRuns"], query, abort.signal).then(show, () => {}); // without them the tab is as before
    }
    return () => abort.abort();
  }, [dagId, runId, klapTaskId]);
  const add = useCallback(
    (run) => setRuns((before) => [run, ...before.filter((each) => each.dag_run_id !== run.dag_run_id)]),
    [],
  );
  return [runs, add];
}

/** One of these runs, followed in place: `seen` and `follow` are of it, and so is what is done with its shorts. */
export function LaterRun({ given, story, follow, run }) {
  const { conf } = given;
  const acting = useContext(Acting);
  const title = given.note || story?.name || given.dag_run_id;
  const at = momentWords(given.run_after);
  const chosen = story?.shorts.filter((short) => short.leftOut === null) ?? [];
  const again = async () => {
    await clear(run, null, { onlyFailed: true });
    follow();
  };
  const price = story?.offer ?? acting.story.offer;
  const most = price ? ` · at most ${money(price.price * Math.max(1, conf?.project_ids?.length ?? 1))}` : "";
  return h(
    Acting.Provider,
    { value: { ...acting, conf, follow, story: story ?? acting.story } },
    h(
      Stack,
      { as: "section", "aria-label": `${title}, ${at}`, gap: 2 },
      h(
        HStack,
        { flexWrap: "wrap", columnGap: 3, rowGap: 1 },
        h(Heading, { as: "h2", size: "md", wordBreak: "break-word" }, title),
        h(Text, { color: "fg.muted", fontSize: "sm" }, at),
        h(State, { state: story?.stage.state ?? given.state }),
        story && h(Text, { "aria-live": "polite", fontSize: "sm" }, story.stage.words),
        story?.cost?.isSum && h(Text, { fontSize: "sm" }, `Cost ${costWords(story.cost)}`),
        h(RunLink, { run, label: `The run of ${title}, ${at}` }, "Its run"),
      ),
      story?.stage.error &&
        h(
          Fragment,
          null,
          h(Notice, { status: "error" }, story.stage.error),
          h(ActButton, { act: "clear", work: again }, `Try again${most}`),
        ),
      chosen.length > 0 &&
        h(CardGrid, { shorts: chosen, draw: (short) => h(ShortCard, { key: short.id, short, run }) }),
    ),
  );
}
