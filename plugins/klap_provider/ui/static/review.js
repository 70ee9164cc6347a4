/** The review of a run: a reviewer selects the shorts to export. */
import { ActionButton, answerReview, Question, TabContext } from "./actions.js";
import { ActionBar, CardGrid, usePicks } from "./card-grid.js";
import { h, SmallButton, TaskButton } from "./components.js";
import { ReviewCard } from "./review-card.js";
import { selectionCost } from "./selection.js";
import { count, priceText, timeText } from "./texts.js";

const { useContext } = globalThis.React;
const { Flex, Heading, Stack, Text } = globalThis.ChakraUI;

/** @param {{details: Details, question: Question, run: string[]}} props `run`: the run's path in the UI, as segments */
export function Review({ details, question, run }) {
  const { shorts, offer } = details;
  const defaults = () => selectedByDefault(shorts).map(({ id }) => id);
  const { picks, toggle, replace } = usePicks(`${run.join(" ")} ${question.asked_at}`, defaults);
  const selected = shorts.filter(({ id }) => picks.has(id));
  const cost = selectionCost(selected, offer);
  const cardOf = (/** @type {Short} */ short) => {
    const marks = { isSelected: picks.has(short.id), isDropped: cost.dropped.has(short.id) };
    return h(ReviewCard, { key: short.id, short, price: offer?.price ?? null, ...marks, toggle });
  };
  const button = (/** @type {string} */ text, /** @type {string[]} */ ids) =>
    h(SmallButton, { onClick: () => replace(ids) }, text);
  return h(
    Stack,
    { as: "section", "aria-label": "Review", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, `Select the shorts to export (${shorts.length})`),
    h(
      Flex,
      { alignItems: "center", flexWrap: "wrap", gap: 2 },
      h(Text, { color: "fg.muted", flex: "1 1 16rem", fontSize: "sm" }, deadlineText(shorts, offer)),
      button(
        "Select all",
        shorts.map(({ id }) => id),
      ),
      button("Clear", []),
    ),
    h(CardGrid, { shorts, draw: cardOf, columns: "repeat(auto-fill, minmax(min(100%, 27rem), 1fr))" }),
    h(Question, null, h(AnswerBar, { selected, cost, run, question })),
  );
}

/** @param {Short[]} shorts */
const selectedByDefault = (shorts) => shorts.filter(({ left_out: reason }) => reason === null);

function deadlineText(/** @type {Short[]} */ shorts, /** @type {Offer | null} */ offer) {
  if (!offer?.deadline) return "";
  const preselected = selectedByDefault(shorts).length;
  const then = preselected
    ? `the ${count(preselected)} selected by default ${preselected === 1 ? "is" : "are"} exported`
    : "no short is exported";
  return `Answer by ${timeText(offer.deadline)}. Without an answer, ${then}.`;
}

const NONE = "The run ends without exports. Nothing more is paid. You can still export shorts from this page later.";

/** @param {{selected: Short[], cost: ReturnType<typeof selectionCost>, run: string[], question: Question}} props */
function AnswerBar({ selected, cost, run, question }) {
  const { answered } = useContext(TabContext);
  const answer = async (/** @type {string[]} */ ids) => {
    await answerReview(run, question, Object.fromEntries(ids.map((id) => [id, question.options[id]])));
    answered();
    return "Answer saved.";
  };
  const what = cost.dropped.size > 0 ? `${cost.exports} of ${selected.length}` : count(selected.length);
  return h(
    ActionBar,
    null,
    h(
      ActionButton,
      {
        action: "answer",
        colorPalette: "brand",
        disabled: cost.exports === 0,
        pays: cost.pays,
        variant: "solid",
        work: () => answer(selected.map(({ id }) => id)),
      },
      `Export ${what} · ${priceText({ ...cost.pays, estimated: false })}`,
    ),
    h(ActionButton, { action: "answer", question: NONE, work: () => answer([]) }, "Export none"),
    h(Text, { "aria-live": "polite", color: "fg.muted", flex: "1 1 16rem", fontSize: "sm" }, cost.text),
    h(
      TaskButton,
      { run, task: question.task, page: "/required_actions", icon: "awaiting_input" },
      "Airflow's own form",
    ),
  );
}
