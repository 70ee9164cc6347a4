/** A request in doubt, resolved in place: it was sent, and nobody knows whether Klap received it. */
import { ActButton, Acting, decide } from "./acting.js";
import { h } from "./parts.js";
import { momentWords, priceWords } from "./words.js";

const { useContext, useId, useState } = globalThis.React;
const { HStack, Input, Stack, Text } = globalThis.ChakraUI;

/** @param {{doubt: object, error: string, what: "task" | "export", run: string[]}} props `doubt`: the request in doubt */
export function Decide({ doubt, error, what, run }) {
  const { follow } = useContext(Acting);
  const [id, setId] = useState("");
  const field = useId();
  const answer = async (word, value) => {
    // Only what has failed: said twice, it is cleared once.
    await decide(run, doubt.place, word, doubt.entry, value, { onlyFailed: true });
    follow();
    return "Decision saved. The run continues.";
  };
  const price = priceWords(doubt);
  return h(
    Stack,
    {
      "aria-label": "Resolve the request",
      as: "section",
      borderColor: "failed.solid",
      borderRadius: "md",
      borderWidth: 1,
      gap: 3,
      p: 3,
    },
    h(Text, { fontSize: "sm" }, questionWords(doubt, what)),
    h(
      HStack,
      { alignItems: "start", flexWrap: "wrap", gap: 2 },
      ...doubt.jobs.map((job) =>
        h(
          ActButton,
          { act: "decide", key: job, work: () => answer("adopt", job) },
          doubt.is_changed ? `Continue with ${job}` : `It is ${job}`,
        ),
      ),
      doubt.jobs.length === 0 && [
        h(
          HStack,
          { flexWrap: "wrap", gap: 2, key: "field", maxWidth: "100%" },
          h(Text, { as: "label", fontSize: "sm", htmlFor: field }, `Klap's ${what} id`),
          h(Input, {
            id: field,
            onChange: (event) => setId(event.target.value),
            size: "xs",
            value: id,
            maxWidth: "100%",
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
      doubt.is_changed ? `Have the new one made · ${price}` : `It is not there: send again · ${price}`,
    ),
    h(
      "details",
      { open: doubt.is_changed }, // it says what has changed
      h(Text, { as: "summary", color: "fg.muted", cursor: "pointer", fontSize: "sm" }, "Details"),
      h(Text, { color: "fg.muted", fontSize: "sm", wordBreak: "break-word" }, error),
    ),
  );
}

function questionWords({ is_changed: isChanged, jobs, sent_at: sentAt }, what) {
  const sent = sentAt ? momentWords(sentAt) : "an unknown day";
  if (isChanged) return `Paid for on ${sent}, with other settings than now. Which shall it be?`;
  if (jobs.length > 0) return `Sent on ${sent}, and Klap has more than one ${what} of that time. Which is it?`;
  return `Sent on ${sent}. Look in Klap for an upload of that time: is it there?`;
}
