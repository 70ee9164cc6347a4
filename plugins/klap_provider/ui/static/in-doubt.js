/** Resolves a paid request in place: one whose response never arrived, or one whose settings have changed since. */
import { ActionButton, Question, resolve, TabContext } from "./actions.js";
import { h, Muted } from "./components.js";
import { confirmation, priceText, submissionPriceText, timeText } from "./texts.js";

const { useContext, useId, useState } = globalThis.React;
const { HStack, Input, Stack, Text } = globalThis.ChakraUI;

/** @param {{doubt: Doubt, error: string | null, what: "task" | "export", run: string[]}} props `doubt`: the request */
export const ResolveRequest = (props) => h(Question, null, h(Request, props));

/** @param {{doubt: Doubt, error: string | null, what: "task" | "export", run: string[]}} props */
function Request({ doubt, error, what, run }) {
  const [id, setId] = useState("");
  const field = useId();
  const decide = async (/** @type {string | null} */ jobId) => {
    await resolve(run, doubt, jobId);
    return "Decision saved. The run continues.";
  };
  const { details } = useContext(TabContext);
  const price = what === "task" ? submissionPriceText(doubt, details.is_whole) : priceText(doubt);
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
    h(Text, { fontSize: "sm" }, instructions(doubt, what)),
    h(
      HStack,
      { alignItems: "start", flexWrap: "wrap", gap: 2 },
      ...doubt.jobs.map((job) =>
        h(ActionButton, { action: "resolve", key: job, work: () => decide(job) }, `Continue with ${job}`),
      ),
      doubt.jobs.length === 0 && [
        h(
          HStack,
          { flexWrap: "wrap", gap: 2, key: "field", maxWidth: "100%" },
          h(Text, { as: "label", fontSize: "sm", htmlFor: field }, `Klap's ${what} id`),
          h(Input, {
            id: field,
            onChange: (/** @type {any} */ event) => setId(event.target.value),
            size: "xs",
            value: id,
            maxWidth: "100%",
            width: "14rem",
          }),
        ),
        h(
          ActionButton,
          { action: "resolve", disabled: !id.trim(), key: "adopt", work: () => decide(id.trim()) },
          `Continue with this ${what}`,
        ),
      ],
    ),
    h(
      ActionButton,
      { action: "resolve", question: warning(doubt, price), work: () => decide(null) },
      doubt.is_changed ? `Send the new request · ${price}` : `It is not in Klap: send again · ${price}`,
    ),
    h(
      "details",
      { open: doubt.is_changed }, // it lists the changed settings
      h(Text, { as: "summary", color: "fg.muted", cursor: "pointer", fontSize: "sm" }, "Details"),
      h(Muted, { wordBreak: "break-word" }, error),
    ),
  );
}

/**
 * @param {Doubt} doubt
 * @param {string} price
 */
const warning = (doubt, price) =>
  doubt.is_changed
    ? confirmation({ ...doubt, again: true, text: price })
    : `If Klap has received the first request after all, it bills both. This one: ${price}.`;

/**
 * @param {Doubt} doubt
 * @param {"task" | "export"} what
 */
function instructions({ is_changed: isChanged, jobs, sent_at: sentAt }, what) {
  const sent = sentAt ? `The request was sent on ${timeText(sentAt)}.` : "The time of the request is not recorded.";
  if (isChanged) return `${sent} Continue with the ${what} that was paid for, or send the new request.`;
  if (jobs.length > 0)
    return `${sent} Klap has several matching ${what}s. Select the right one, or send the request again.`;
  const trace = what === "task" ? "upload" : what;
  const search = sentAt ? `an ${trace} of that time` : `this ${trace}`;
  return `${sent} Search the Klap app for ${search}. If you find it, enter Klap's id. If not, send it again.`;
}
