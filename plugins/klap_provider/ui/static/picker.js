/** The question of a review, with pictures: which shorts shall be exported? It answers Airflow's own required action. */
import { ActButton, Acting, inApi } from "./acting.js";
import { get, send } from "./api.js";
import { ActionBar, CardGrid, TaskButton, h } from "./parts.js";
import { billOf, toggled } from "./pick.js";
import { PickCard } from "./pickcard.js";
import { count, momentWords, money } from "./words.js";

const { useContext, useState } = globalThis.React;
const { Heading, Stack, Text } = globalThis.ChakraUI;

/** `props` are the `story` of a run that asks, and the `run`'s address, in parts. */
export function Picker({ story, run }) {
  const { shorts, offer, question } = story;
  const [picked, setPicked] = useState(
    () => new Set(shorts.filter(({ left_out: leftOut }) => leftOut === null).map(({ id }) => id)),
  );
  const toggle = (id) => setPicked((before) => toggled(before, id));
  const cardOf = (short) =>
    h(PickCard, { key: short.id, short, price: offer?.price, isPicked: picked.has(short.id), toggle });
  return h(
    Stack,
    { as: "section", "aria-label": "Shorts to pick", gap: 2 },
    h(Heading, { as: "h2", size: "md" }, `Shorts to pick (${shorts.length})`),
    h(Text, { color: "fg.muted", fontSize: "sm" }, silenceWords(shorts, offer)),
    h(CardGrid, { shorts, draw: cardOf, columns: "repeat(auto-fill, minmax(min(100%, 27rem), 1fr))" }),
    h(AnswerBar, { picked: shorts.filter(({ id }) => picked.has(id)), story, run, question }),
  );
}

function silenceWords(shorts, offer) {
  if (!offer?.deadline) return "";
  const proposed = shorts.filter(({ left_out: leftOut }) => leftOut === null).length;
  const then = proposed
    ? `the ${count(proposed)} selected at first ${proposed === 1 ? "is" : "are"} exported`
    : "none is exported";
  return `Until ${momentWords(offer.deadline)}. Without an answer by then, ${then}.`;
}

function AnswerBar({ picked, story, run, question }) {
  const { announce, answered, follow } = useContext(Acting);
  const { offer } = story;
  const bill = billOf(picked, offer);
  const answer = async (ids) => {
    const { task_id: taskId, map_index: mapIndex } = question.place;
    const path = [...inApi(run), "taskInstances", taskId, String(mapIndex), "hitlDetails"];
    // The choices are those that were shown: Airflow refuses one that it does not offer any more.
    const chosen = ids.length ? ids.map((id) => question.options[id]) : [question.none];
    try {
      await send("PATCH", path, { chosen_options: chosen, params_input: {} });
      answered();
      return "Answer saved.";
    } catch (error) {
      if (error.status !== 409) throw error;
      const { responded_by_user: by, responded_at: at } = await get(path);
      announce(
        `${by?.name ?? by?.id ?? "Somebody"} has answered before you, on ${momentWords(at)}. Your answer does not count.`,
      );
      return null;
    } finally {
      follow();
    }
  };
  const sum = bill.total === null ? "" : ` · ${money(bill.total)}`;
  return h(
    ActionBar,
    null,
    h(
      ActButton,
      {
        act: "answer",
        colorPalette: "brand",
        disabled: picked.length === 0,
        variant: "solid",
        work: () => answer(picked.map(({ id }) => id)),
      },
      `Export ${count(picked.length)}${sum}`,
    ),
    h(ActButton, { act: "answer", work: () => answer([]) }, "None"),
    h(Text, { "aria-live": "polite", color: "fg.muted", flex: "1 1 16rem", fontSize: "sm" }, bill.words),
    h(TaskButton, { run, place: question.place, page: "/required_actions", icon: "awaiting_input" }, "Airflow's own form"),
  );
}
