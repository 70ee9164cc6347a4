/** The review of a run: a reviewer selects the shorts to export. The answer goes to Airflow's own required action. */
import { ActionButton, TabContext, apiPath } from "./actions.js";
import { get, send } from "./api.js";
import { ActionBar, CardGrid, TaskButton, h } from "./components.js";
import { ReviewCard } from "./review-card.js";
import { selectionCost, toggled } from "./selection.js";
import { count, formatPrice, timeText } from "./texts.js";

const { useContext, useState } = globalThis.React;
const { Heading, Stack, Text } = globalThis.ChakraUI;

/** `details` are those of a run that waits for a review, `run` is its path in the UI, as segments. */
export function Review({ details, run }) {
  const { shorts, offer, question } = details;
  const [selected, setSelected] = useState(() => new Set(selectedByDefault(shorts).map(({ id }) => id)));
  const toggle = (id) => setSelected((before) => toggled(before, id));
  const cardOf = (short) =>
    h(ReviewCard, { key: short.id, short, price: offer?.price, isSelected: selected.has(short.id), toggle });
  return h(
    Stack,
    { as: "section", "aria-label": "Review", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, `Select the shorts to export (${shorts.length})`),
    h(Text, { color: "fg.muted", fontSize: "sm" }, deadlineText(shorts, offer)),
    h(CardGrid, { shorts, draw: cardOf, columns: "repeat(auto-fill, minmax(min(100%, 27rem), 1fr))" }),
    h(AnswerBar, { selected: shorts.filter(({ id }) => selected.has(id)), details, run, question }),
  );
}

const selectedByDefault = (shorts) => shorts.filter(({ left_out: reason }) => reason === null);

function deadlineText(shorts, offer) {
  if (!offer?.deadline) return "";
  const preselected = selectedByDefault(shorts).length;
  const then = preselected
    ? `the ${count(preselected)} selected by default ${preselected === 1 ? "is" : "are"} exported`
    : "no short is exported";
  return `Answer by ${timeText(offer.deadline)}. Without an answer, ${then}.`;
}

function AnswerBar({ selected, details, run, question }) {
  const { announce, answered, follow } = useContext(TabContext);
  const cost = selectionCost(selected, details.offer);
  const answer = async (ids) => {
    const { task_id: taskId, map_index: mapIndex } = question.task;
    const path = [...apiPath(run), "taskInstances", taskId, String(mapIndex), "hitlDetails"];
    // The options that were shown: Airflow refuses one that it no longer offers.
    const chosen = ids.length ? ids.map((id) => question.options[id]) : [question.none];
    try {
      await send("PATCH", path, { chosen_options: chosen, params_input: {} });
      answered();
      return "Answer saved.";
    } catch (error) {
      if (error.status !== 409) throw error;
      const { responded_by_user: by, responded_at: at } = await get(path);
      announce(`${by?.name ?? by?.id ?? "Somebody"} already answered on ${timeText(at)}. Your answer was not saved.`);
      return null;
    } finally {
      follow();
    }
  };
  const sum = cost.total === null ? "" : ` · ${formatPrice(cost.total)}`;
  return h(
    ActionBar,
    null,
    h(
      ActionButton,
      {
        action: "answer",
        colorPalette: "brand",
        disabled: selected.length === 0,
        variant: "solid",
        work: () => answer(selected.map(({ id }) => id)),
      },
      `Export ${count(selected.length)}${sum}`,
    ),
    h(ActionButton, { action: "answer", work: () => answer([]) }, "Export none"),
    h(Text, { "aria-live": "polite", color: "fg.muted", flex: "1 1 16rem", fontSize: "sm" }, cost.text),
    h(TaskButton, { run, task: question.task, page: "/required_actions", icon: "awaiting_input" }, "Airflow's own form"),
  );
}
