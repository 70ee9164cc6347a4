/** Further exports of the same video: what was not selected, and the runs that export it after all. */
import { ActButton, Acting, clear, exportMore } from "./acting.js";
import { LeftOutCard, ShortCard } from "./card.js";
import { ActionBar, CardGrid, Notice, RunLink, State, h } from "./parts.js";
import { billOf, toggled } from "./pick.js";
import { costWords, count, momentWords, money, stageWords } from "./words.js";

const { Fragment, useCallback, useContext, useState } = globalThis.React;
const { HStack, Heading, Stack, Text } = globalThis.ChakraUI;

/** The shorts that were not selected, to be ticked and exported after all. */
export function LeftOut({ shorts, run }) {
  const { follow, form, story } = useContext(Acting);
  const [ticked, setTicked] = useState(() => new Set());
  const toggle = useCallback((id) => setTicked((before) => toggled(before, id)), []);
  const isPossible = form?.can_export ?? false;
  const chosen = shorts.filter(({ id }) => ticked.has(id));
  const bill = billOf(chosen, story.offer && { ...story.offer, covered: null });
  const price = story.offer ? ` · ${money(story.offer.price)}` : "";
  const sum = bill.total === null ? "" : ` · ${money(bill.total)}`;
  // As a flag, too: functions do not count when cards are compared.
  const tickOf = ({ id, exported }) =>
    isPossible ? { canTick: true, isTicked: ticked.has(id), price: exported ? " · free" : price, toggle } : {};
  const order = async () => {
    const ids = chosen.map(({ id }) => id);
    await exportMore(run, ids);
    setTicked(new Set());
    follow();
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
        form.is_paused && h(Text, { fontSize: "sm" }, "This Dag is paused: it waits until somebody unpauses it."),
      ),
  );
}

/** A follow-up run, as the server has it; what is done with its shorts is done in that run. */
export function FollowUp({ given, isFolded }) {
  const { story, title, state } = given;
  const acting = useContext(Acting);
  const run = ["dags", given.dag_id, "runs", given.run_id];
  const at = momentWords(given.at);
  const selected = story?.shorts.filter((short) => short.left_out === null) ?? [];
  const again = async () => {
    await clear(run, null, { onlyFailed: true });
    acting.follow();
  };
  const price = story?.offer ?? acting.story.offer;
  const most = price ? ` · at most ${money(price.price * Math.max(1, given.project_ids.length))}` : "";
  const head = h(
    HStack,
    { flexWrap: "wrap", columnGap: 3, rowGap: 1 },
    h(Heading, { as: "h2", size: "md", wordBreak: "break-word" }, title),
    h(Text, { color: "fg.muted", fontSize: "sm" }, at),
    h(State, { state: story?.stage.state ?? state }),
    story && h(Text, { "aria-live": "polite", fontSize: "sm" }, stageWords(story.stage, new Date())),
    story?.cost?.is_sum && h(Text, { fontSize: "sm" }, `Cost ${costWords(story.cost)}`),
    h(RunLink, { run, label: `The run of ${title}, ${at}` }, "Its run"),
  );
  const cards =
    selected.length > 0 &&
    h(CardGrid, { shorts: selected, draw: (short) => h(ShortCard, { key: short.id, short, run }) });
  return h(
    Acting.Provider,
    { value: { ...acting, story: story ?? acting.story, watermark: given.watermark } },
    h(
      Stack,
      { as: "section", "aria-label": `${title}, ${at}`, gap: 2 },
      head,
      story?.stage.error &&
        h(
          Fragment,
          null,
          h(Notice, { status: "error" }, story.stage.error),
          h(ActButton, { act: "clear", work: again }, `Try again${most}`),
        ),
      cards && isFolded ? h("details", null, h("summary", null, count(selected.length)), cards) : cards,
    ),
  );
}
