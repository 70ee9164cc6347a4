/** Further exports of the same video: the shorts that were not selected, and the follow-up runs that export them. */
import { ActionButton, exportMore, TabContext } from "./actions.js";
import { NotSelectedCard, ShortCard } from "./card.js";
import { ActionBar, CardGrid, usePicks } from "./card-grid.js";
import { h, Muted, RunLink, State } from "./components.js";
import { Notice } from "./messages.js";
import { selectionCost } from "./selection.js";
import { RepeatStep } from "./summary.js";
import { costText, count, priceText, stageText, timeText } from "./texts.js";

const { useContext } = globalThis.React;
const { HStack, Heading, Stack, Text } = globalThis.ChakraUI;

/** The shorts that were not selected, to be ticked and exported. */
export function NotSelected(/** @type {{shorts: Short[], run: string[]}} */ { shorts, run }) {
  const { form, details } = useContext(TabContext);
  const { picks: ticked, toggle, replace } = usePicks(`more ${run.join(" ")}`);
  const isPossible = form?.can_export ?? false;
  const chosen = shorts.filter(({ id }) => ticked.has(id));
  const cost = selectionCost(chosen, details.offer && { ...details.offer, covered: null });
  const price = ` · ${priceText(details.offer ?? { price: null })}`;
  // `canTick` because functions do not count when cards are compared.
  const tickOf = (/** @type {Short} */ { id, exported }) =>
    isPossible ? { canTick: true, isTicked: ticked.has(id), price: exported ? " · free" : price, toggle } : {};
  const work = async () => {
    const ids = chosen.map(({ id }) => id);
    await exportMore(run, ids);
    replace([]);
  };
  return h(
    Stack,
    { as: "section", "aria-label": "Not selected", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, `Not selected (${shorts.length})`),
    h(CardGrid, { shorts, draw: (short) => h(NotSelectedCard, { key: short.id, short, run, ...tickOf(short) }) }),
    chosen.length > 0 &&
      h(
        ActionBar,
        null,
        h(
          ActionButton,
          { action: "start", colorPalette: "brand", pays: cost.pays, variant: "solid", work },
          `Export ${chosen.length} more · ${priceText({ ...cost.pays, estimated: false })}`,
        ),
        h(Muted, { "aria-live": "polite" }, cost.text),
        form.is_paused && h(Text, { fontSize: "sm" }, "This Dag is paused. The run starts when somebody unpauses it."),
      ),
  );
}

/** A follow-up run. Actions on its shorts belong to that run. */
export function FollowUp(/** @type {{given: FollowUp, isFolded: boolean}} */ { given, isFolded }) {
  const { details, title, state } = given;
  const context = useContext(TabContext);
  const run = ["dags", given.dag_id, "runs", given.run_id];
  const at = timeText(given.at);
  const selected = details?.shorts.filter((short) => short.left_out === null) ?? [];
  const head = h(
    HStack,
    { flexWrap: "wrap", columnGap: 3, rowGap: 1 },
    h(Heading, { as: "h2", size: "md", wordBreak: "break-word" }, title),
    h(Muted, null, at),
    h(State, { state: details?.stage.state ?? state }),
    details && h(Text, { "aria-live": "polite", fontSize: "sm" }, stageText(details.stage, new Date())),
    details?.cost?.is_sum && h(Text, { fontSize: "sm" }, `Cost: ${costText(details.cost)}`),
    h(RunLink, { run, label: `Open run ${title}, ${at}` }, "Open run"),
  );
  const cards =
    selected.length > 0 &&
    h(CardGrid, { shorts: selected, draw: (short) => h(ShortCard, { key: short.id, short, run }) });
  return h(
    TabContext.Provider,
    { value: { ...context, details: details ?? context.details, watermark: given.watermark } },
    h(
      Stack,
      { as: "section", "aria-label": `${title}, ${at}`, gap: 2 },
      head,
      details?.stage.error && h(Notice, { status: "error" }, details.stage.error),
      details?.next_step && h(RepeatStep, { step: details.next_step, run }),
      cards && isFolded ? h("details", null, h("summary", null, count(selected.length)), cards) : cards,
    ),
  );
}
