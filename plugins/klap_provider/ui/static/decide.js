/** What only a person can decide about a paid request, asked in place: it was sent, and nobody knows what came of it. */
import { ActButton, Acting, decide } from "./acting.js";
import { h } from "./parts.js";
import { momentWords, money } from "./words.js";

const { useContext, useId, useState } = globalThis.React;
const { HStack, Input, Stack, Text } = globalThis.ChakraUI;

/** @param {{fate: import("./shorts.js").Fate, error: string, what: "task" | "export", run: string[]}} props */
export function Decide({ fate, error, what, run }) {
  const { follow } = useContext(Acting);
  const [id, setId] = useState("");
  const field = useId();
  const answer = async (word, value) => {
    // Only what has failed: said twice, it is cleared once.
    await decide(run, fate.place, word, fate.entry, value, { onlyFailed: true });
    follow();
    return "Said. The run goes on.";
  };
  const price = `${money(fate.price)}${fate.secondHand ? " at second-hand prices" : ""}`;
  return h(
    Stack,
    {
      "aria-label": "How to go on",
      as: "section",
      borderColor: "failed.solid",
      borderRadius: "md",
      borderWidth: 1,
      gap: 3,
      p: 3,
    },
    h(Text, { fontSize: "sm" }, questionWords(fate, what)),
    h(
      HStack,
      { alignItems: "start", flexWrap: "wrap", gap: 2 },
      ...fate.jobs.map((job) =>
        h(
          ActButton,
          { act: "decide", key: job, work: () => answer("adopt", job) },
          fate.isChanged ? `Go on with ${job}` : `It is ${job}`,
        ),
      ),
      fate.jobs.length === 0 && [
        h(
          HStack,
          { gap: 2, key: "field" },
          h(Text, { as: "label", fontSize: "sm", htmlFor: field }, `Klap's ${what} id`),
          h(Input, {
            id: field,
            onChange: (event) => setId(event.target.value),
            size: "xs",
            value: id,
            width: "14rem",
          }),
        ),
        h(
          ActButton,
          { act: "decide", disabled: !id.trim(), key: "adopt", work: () => answer("adopt", id.trim()) },
          `It is this ${what}`,
        ),
      ],
    ),
    h(
      ActButton,
      { act: "decide", work: () => answer("resend", true) },
      fate.isChanged ? `Have the new one made · ${price}` : `It is not there: send again · ${price}`,
    ),
    h(
      "details",
      { open: fate.isChanged }, // it says what has changed
      h(Text, { as: "summary", color: "fg.muted", cursor: "pointer", fontSize: "sm" }, "All that is known"),
      h(Text, { color: "fg.muted", fontSize: "sm", wordBreak: "break-word" }, error),
    ),
  );
}

function questionWords({ isChanged, jobs, sentAt }, what) {
  const sent = momentWords(sentAt);
  if (isChanged) return `Paid for on ${sent}, with other settings than now. Which shall it be?`;
  if (jobs.length > 0) return `Sent on ${sent}, and Klap has more than one ${what} of that time. Which is it?`;
  return `Sent on ${sent}. Look in Klap for an upload of that time: is it there?`;
}
