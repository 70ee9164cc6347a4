/** Delivered shorts, from the team's own storage by way of Airflow's API server: they outlive Klap's copy. */
import { getFromPlugin, pluginAddress } from "./api.js";
import { Icon, h } from "./parts.js";

const { useState } = globalThis.React;
const { Box, Button, Flex, HStack, Stack, Text } = globalThis.ChakraUI;

const NETWORKS = { tiktok: "TikTok", youtube: "YouTube", linkedin: "LinkedIn", instagram: "Instagram" };

/** Where the plugin serves what was delivered of a short: `run` is the run's address, in parts. */
const placeOf = (run, short, what) => ["api", ...run, "shorts", short.id, what];

/**
 * The address of a short's video: in the team's storage once it is delivered, before that at Klap; null if neither.
 *
 * @param {string[]} run the run's address, in parts
 * @param {{id: string, stored: boolean, video: string | null}} short `stored`: the API server may send it
 * @param {Record<string, string | number>} [query]
 */
export function videoOf(run, short, query = {}) {
  return !short.stored ? short.video : pluginAddress(placeOf(run, short, "video"), query).href;
}

/** A player that fills the box around it, shows the first picture, and says why if it cannot. */
export function Video({ name, src }) {
  const [problem, setProblem] = useState(null);
  const fit = { height: "100%", inset: 0, objectFit: "contain", position: "absolute", width: "100%" };
  if (problem !== null) {
    const look = {
      alignItems: "center",
      bg: "bg.muted",
      color: "fg.muted",
      direction: "column",
      justifyContent: "center",
    };
    return h(
      Flex,
      { ...look, fontSize: "xs", gap: 2, overflow: "auto", p: 2, role: "alert", style: fit, wordBreak: "break-word" },
      h(Icon, { name: "failed", size: 24 }),
      h(Text, null, problem),
    );
  }
  const video = { "aria-label": name, controls: true, playsInline: true, preload: "metadata", src: `${src}#t=0.1` };
  return h("video", { ...video, onError: () => reason(src).then(setProblem), style: fit });
}

/** What the server says of a video that a player could not show: players do not hand that on. */
async function reason(src) {
  try {
    const answer = await fetch(src, { headers: { Range: "bytes=0-0" } });
    if (!answer.ok && new URL(src).origin === location.origin) return (await answer.json()).detail;
  } catch {
    // Another site's answer, which is none of our business, or none at all.
  }
  return "This video cannot be played here.";
}

/** The captions and the transcript of a delivered short, read when somebody wants them. */
export function StoredTexts({ short, run }) {
  const [texts, setTexts] = useState(null);
  const [isOpen, setOpen] = useState(false);
  const open = () => {
    setOpen(!isOpen);
    if (texts !== null && !texts.problem) return;
    const found = (answer) => setTexts(labelled(answer));
    getFromPlugin(placeOf(run, short, "texts")).then(found, ({ message }) => setTexts({ problem: message }));
  };
  return h(
    Stack,
    { alignItems: "start", gap: 2 },
    h(
      Button,
      {
        "aria-expanded": isOpen,
        "aria-label": `Texts of ${short.name}`,
        onClick: open,
        size: "xs",
        variant: "outline",
      },
      h(Icon, { name: "log" }),
      "Captions and transcript",
    ),
    isOpen && h(Box, { "aria-live": "polite", width: "100%" }, h(Texts, { short, texts })),
  );
}

function labelled({ publication_captions: captions, transcript }) {
  const said = Object.entries(captions ?? {}).filter(([, text]) => typeof text === "string" && text);
  const texts = said.map(([network, text]) => ({ label: NETWORKS[network] ?? network, text }));
  return { texts: transcript ? [...texts, { label: "Transcript", text: transcript }] : texts };
}

function Texts({ short, texts }) {
  if (texts === null) return h(Text, { color: "fg.muted", fontSize: "sm" }, "Reading…");
  if (texts.problem) return h(Text, { color: "fg.error", fontSize: "sm", wordBreak: "break-word" }, texts.problem);
  if (texts.texts.length === 0) return h(Text, { color: "fg.muted", fontSize: "sm" }, "Klap gave none.");
  return h(Stack, { gap: 2 }, ...texts.texts.map((each) => h(Copied, { key: each.label, ...each, of: short.name })));
}

function Copied({ label, text, of }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true));
  const box = {
    bg: "bg.subtle",
    borderRadius: "sm",
    dir: "auto",
    fontSize: "sm",
    maxHeight: "10rem",
    overflow: "auto",
  };
  return h(
    Box,
    null,
    h(
      HStack,
      { justifyContent: "space-between" },
      h(Text, { color: "fg.muted", fontSize: "xs", fontWeight: "bold" }, label),
      navigator.clipboard &&
        h(
          Button,
          { "aria-label": `Copy the ${label} text of ${of}`, onClick: copy, size: "2xs", variant: "ghost" },
          h(Icon, { name: isCopied ? "success" : "copy" }),
          isCopied ? "Copied" : "Copy",
        ),
    ),
    h(Box, { ...box, p: 2, tabIndex: 0, whiteSpace: "pre-wrap", wordBreak: "break-word" }, text),
  );
}
