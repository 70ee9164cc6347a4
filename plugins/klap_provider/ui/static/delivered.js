/** The video and the texts of a delivered short, which Airflow's API server reads from the destination. */
import { getFromPlugin, pluginUrl } from "./api.js";
import { BELOW, ButtonRow, CopyButton, h, Icon, Muted, OutsideButton, SmallButton } from "./components.js";

const { Fragment, useState } = globalThis.React;
const { Box, Flex, HStack, Stack, Text } = globalThis.ChakraUI;

/** @type {Record<string, string>} */
const NETWORKS = { tiktok: "TikTok", youtube: "YouTube", linkedin: "LinkedIn", instagram: "Instagram" };

/**
 * Return the path at which the plugin serves a file of a delivered short.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {{id: string}} short
 * @param {"texts" | "video"} file
 */
const deliveredPath = (run, short, file) => ["api", ...run, "shorts", short.id, file];

/**
 * Return the address of a short's video: the delivered file, or before that Klap's, or null.
 *
 * @param {string[]} run the run's path in the UI, as segments
 * @param {{id: string, stored: boolean, video: string | null}} short `stored`: the API server may send the file
 * @param {Record<string, string | number>} [query]
 * @returns {string | null}
 */
export const videoUrl = (run, short, query = {}) => (short.stored ? deliveredUrl(run, short, query) : short.video);

/**
 * Return the address of a delivered video; see {@link videoUrl}.
 *
 * @param {string[]} run
 * @param {{id: string}} short
 * @param {Record<string, string | number>} [query]
 */
export const deliveredUrl = (run, short, query = {}) => pluginUrl(deliveredPath(run, short, "video"), query).href;

/**
 * The style of a video that fills the box around it.
 *
 * @type {React.CSSProperties}
 */
export const FIT = { height: "100%", inset: 0, objectFit: "contain", position: "absolute", width: "100%" };

/** A player that fills the box around it and shows the first frame, or the reason why it cannot play. */
export function Video(/** @type {{name: string, src: string}} */ { name, src }) {
  const [problem, setProblem] = useState(null);
  if (problem !== null) {
    const style = {
      alignItems: "center",
      bg: "bg.muted",
      color: "fg.muted",
      direction: "column",
      justifyContent: "center",
    };
    return h(
      Flex,
      { ...style, fontSize: "xs", gap: 2, overflow: "auto", p: 2, role: "alert", style: FIT, wordBreak: "break-word" },
      h(Icon, { name: "failed", size: 24 }),
      h(Text, null, problem),
    );
  }
  const video = { "aria-label": name, controls: true, playsInline: true, preload: "metadata", src: `${src}#t=0.1` };
  return h("video", { ...video, onError: () => reason(src).then(setProblem), style: FIT });
}

/** Return why the server did not send a video. Players do not report it. */
async function reason(/** @type {string} */ src) {
  try {
    const response = await fetch(src, { headers: { Range: "bytes=0-0" } });
    if (response.ok) return "This browser cannot play the video. Download the file and open it in a video player.";
    if (new URL(src).origin === location.origin) return (await response.json()).detail;
  } catch {
    // No response, or one of another site that this page may not read.
  }
  return `The browser could not load the video from ${new URL(src).host}. Check your network, then reload the page.`;
}

/** The actions on all delivered shorts of a run. */
export function AllDelivered(/** @type {{shorts: Short[], run: string[]}} */ { shorts, run }) {
  const [message, setMessage] = useState("Copy all captions");
  const stored = shorts.filter((short) => short.stored);
  if (stored.length < 2) return null;
  const copy = () => {
    const text = Promise.all(stored.map((short) => captionsOf(short, run))).then((all) => all.join("\n\n"));
    // Browsers accept only text that is promised at the click.
    const item = new ClipboardItem({ "text/plain": text.then((all) => new Blob([all], { type: "text/plain" })) });
    navigator.clipboard.write([item]).then(
      () => setMessage("Copied"),
      (error) => setMessage(`Not copied: ${error.message}`),
    );
  };
  return h(
    ButtonRow,
    null,
    h(OutsideButton, { href: pluginUrl(["api", ...run, "videos.zip"]).href, icon: "download" }, "Download all (ZIP)"),
    navigator.clipboard && h(SmallButton, { onClick: copy }, h(Icon, { name: "copy" }), message),
  );
}

async function captionsOf(/** @type {Short} */ short, /** @type {string[]} */ run) {
  const { texts } = labelled(await getFromPlugin(deliveredPath(run, short, "texts")));
  const captions = texts.filter(({ label }) => label !== TRANSCRIPT).map(({ label, text }) => `${label}: ${text}`);
  return [short.name, ...captions].join("\n");
}

const TRANSCRIPT = "Transcript";

/** The captions and the transcript of a delivered short, in a row of buttons, loaded when they are opened. */
export function StoredTexts(/** @type {{short: {id: string, name: string}, run: string[]}} */ { short, run }) {
  const [texts, setTexts] = useState(/** @type {Labelled | {problem: string} | null} */ (null));
  const [isOpen, setOpen] = useState(false);
  const open = () => {
    setOpen(!isOpen);
    if (texts !== null && !("problem" in texts)) return;
    const show = (/** @type {StoredTexts} */ answer) => setTexts(labelled(answer));
    getFromPlugin(deliveredPath(run, short, "texts")).then(show, ({ message }) => setTexts({ problem: message }));
  };
  return h(
    Fragment,
    null,
    h(
      SmallButton,
      {
        "aria-expanded": isOpen,
        "aria-label": `Captions and transcript of ${short.name}`,
        onClick: open,
      },
      h(Icon, { name: "log" }),
      "Captions and transcript",
    ),
    isOpen && h(Box, { "aria-live": "polite", ...BELOW }, h(Texts, { short, texts })),
  );
}

/**
 * @typedef {{texts: {label: string, text: string}[]}} Labelled
 * @param {StoredTexts} stored
 * @returns {Labelled}
 */
function labelled({ publication_captions: captions, transcript }) {
  const texts = Object.entries(captions ?? {}).flatMap(([network, text]) =>
    typeof text === "string" && text ? [{ label: NETWORKS[network] ?? network, text }] : [],
  );
  return { texts: transcript ? [...texts, { label: TRANSCRIPT, text: transcript }] : texts };
}

/** @param {{short: {name: string}, texts: Labelled | {problem: string} | null}} props */
function Texts({ short, texts }) {
  if (texts === null) return h(Muted, null, "Loading…");
  if ("problem" in texts) return h(Text, { color: "fg.error", fontSize: "sm", wordBreak: "break-word" }, texts.problem);
  if (texts.texts.length === 0) return h(Muted, null, "Klap generated no captions and no transcript.");
  return h(Stack, { gap: 2 }, ...texts.texts.map((each) => h(Copied, { key: each.label, ...each, of: short.name })));
}

/** @param {{label: string, text: string, of: string}} props */
function Copied({ label, text, of }) {
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
      h(CopyButton, { label: `Copy the ${label} text of ${of}`, text }, "Copy"),
    ),
    h(Box, { ...box, p: 2, tabIndex: 0, whiteSpace: "pre-wrap", wordBreak: "break-word" }, text),
  );
}
