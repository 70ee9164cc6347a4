/** What can be done with an exported short: decide, try it again, export it with another look. */
import { ActButton, Acting, clear, decide, exportMore } from "./acting.js";
import { Decide } from "./decide.js";
import { h } from "./parts.js";
import { priceWords } from "./words.js";

const { useContext, useId, useState } = globalThis.React;
const { Box, Button, Flex, Input, Stack, Text } = globalThis.ChakraUI;

/** `props` are a `short` and the `run`'s address, in parts. */
export function CardActs({ short, run }) {
  const acting = useContext(Acting);
  if (short.in_doubt) return h(Decide, { doubt: short.in_doubt, error: short.error, what: "export", run });
  if (short.retry) return h(TryAgain, { short, run });
  return short.state === "success" && acting.form?.can_export ? h(ExportAgain, { short, run }) : null;
}

/** What an export costs, behind a word. */
const priceOf = (offer) => (offer ? ` · ${priceWords(offer)}` : "");

function TryAgain({ short: { name, retry }, run }) {
  const { follow, story } = useContext(Acting);
  const again = async () => {
    await clear(run, retry.places);
    follow();
  };
  const price = retry.is_paid ? priceOf(story.offer) : " · free";
  return h(
    ActButton,
    { act: "clear", label: `Try this one again${price}: ${name}`, work: again },
    `Try this one again${price}`,
  );
}

const NO_MARK = { src_url: "", pos_x: "0.5", pos_y: "0.5", scale: "1" };
const FIELDS = [
  ["src_url", "Address of a picture; none: no watermark", "100%"],
  ["pos_x", "From the left, 0–1", "8rem"],
  ["pos_y", "From the top, 0–1", "8rem"],
  ["scale", "Times its own size", "8rem"],
];

const AS_IT_WAS = "This is the watermark that it has: change something of it first.";
const NONE_YET = "It has no watermark: give the address of a picture first.";
const NO_ADDRESS = "The address of a picture begins with https:// or http://.";

function ExportAgain({ short, run }) {
  const { follow, story, watermark } = useContext(Acting);
  const why = useId();
  const [isOpen, setOpen] = useState(false);
  const given = Object.keys(NO_MARK).map((name) => [name, watermark?.[name] ?? NO_MARK[name]]);
  const [mark, setMark] = useState(() => Object.fromEntries(given));
  const isAsItWas =
    given.every(([name, value]) => String(mark[name]) === String(value)) || !(mark.src_url || watermark?.src_url);
  const isSame = mark.src_url === (watermark?.src_url ?? "");
  const isNoAddress = !isSame && mark.src_url.trim() !== "" && !/^https?:\/\/\S+$/.test(mark.src_url.trim());
  const refusal = isNoAddress ? NO_ADDRESS : isAsItWas && (watermark?.src_url ? AS_IT_WAS : NONE_YET);
  const price = priceOf(story.offer);
  const toggle = {
    "aria-expanded": isOpen,
    "aria-label": `Export again with…: ${short.name}`,
    onClick: () => setOpen(!isOpen),
  };

  const withMark = async () => {
    const { src_url, ...numbers } = mark;
    const place = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value)]));
    // A picture that stays is not sent: its address is the server's to know.
    const picture = isSame ? {} : { src_url: src_url.trim() || null };
    await exportMore(run, [short.id], { ...picture, ...place });
    setOpen(false);
    follow();
  };
  const anew = async () => {
    await decide(run, short.export, "resend", short.export.entry, true);
    setOpen(false);
    follow();
  };
  return h(
    Stack,
    { gap: 2 },
    h(Box, null, h(Button, { ...toggle, size: "xs", variant: "outline" }, "Export again with…")),
    isOpen &&
      h(
        Stack,
        {
          "aria-label": `Another export of ${short.name}`,
          as: "section",
          borderRadius: "md",
          borderWidth: 1,
          gap: 3,
          p: 3,
        },
        h(
          Flex,
          { flexWrap: "wrap", gap: 2 },
          ...FIELDS.map(([name, label, width]) =>
            h(
              Stack,
              { as: "label", fontSize: "xs", gap: 1, key: name, width },
              label,
              h(Input, {
                onChange: (event) => setMark({ ...mark, [name]: event.target.value }),
                size: "xs",
                type: name === "src_url" ? "url" : "number",
                step: "any",
                value: mark[name],
              }),
            ),
          ),
        ),
        h(
          ActButton,
          { act: "start", "aria-describedby": refusal ? why : undefined, disabled: Boolean(refusal), work: withMark },
          `Export with this watermark${price}`,
        ),
        refusal && h(Text, { color: "fg.muted", fontSize: "xs", id: why }, refusal),
        short.export?.entry && h(ActButton, { act: "decide", work: anew }, `Export again as it was${price}`),
        h(
          Text,
          { color: "fg.muted", fontSize: "xs" },
          "Use this after a change in Klap, such as another caption style. It is paid for again.",
        ),
      ),
  );
}
