/** The card of one short. A language model wrote its name and explanation: they are shown as text, never as markup. */
import { TabContext } from "./actions.js";
import { ExportAgain, NextStep } from "./card-actions.js";
import { CARD, Tick } from "./card-grid.js";
import { Bar, ButtonRow, CopyButton, h, Icon, Muted, OutsideButton, State, TaskButton } from "./components.js";
import { StoredTexts, Video, videoUrl } from "./delivered.js";
import { clock, fileSize } from "./texts.js";

const { memo, useContext, useEffect, useRef, useState } = globalThis.React;
const { Box, Flex, Heading, HStack, Text } = globalThis.ChakraUI;

const NEARBY = "400px";
const LONG = 180; // characters

/** A selected short. */
export const ShortCard = memo(SelectedShort, isSame);

/** @param {{short: Short, run: string[]}} props `run`: the run's path in the UI, as segments */
function SelectedShort({ short, run }) {
  return h(
    Flex,
    {
      ...CARD,
      css: { contentVisibility: "auto", containIntrinsicSize: "auto 260px" },
      direction: isWide(short) ? "column" : "row",
    },
    h(Player, { short, run }),
    h(
      Flex,
      { direction: "column", flex: 1, gap: 2, minWidth: 0, p: 3 },
      h(Title, { short }),
      h(Score, { short }),
      h(Explanation, { short }),
      h(
        HStack,
        { flexWrap: "wrap", columnGap: 2, rowGap: 0 },
        h(State, { state: short.state }),
        h(Muted, null, short.text),
      ),
      short.error &&
        !short.in_doubt &&
        h(
          Text,
          {
            bg: "failed.subtle",
            borderRadius: "sm",
            color: "failed.fg",
            fontSize: "sm",
            p: 2,
            wordBreak: "break-word",
          },
          short.error,
        ),
      short.path && h(FilePath, { name: short.name, path: short.path }),
      h(Box, { flex: 1 }),
      h(NextStep, { short, run }),
      h(Buttons, { short, run }),
    ),
  );
}

/** A short that was not selected. With `toggle` it can be ticked, to be exported at `price`. */
export const NotSelectedCard = memo(NotSelectedShort, isSame);

/**
 * @param {object} props
 * @param {Short} props.short
 * @param {string[]} props.run
 * @param {boolean} [props.canTick] whether there is a `toggle`: functions do not count when cards are compared
 * @param {boolean} [props.isTicked]
 * @param {(id: string) => void} [props.toggle]
 * @param {string} [props.price]
 */
function NotSelectedShort({ short, run, isTicked = false, toggle, price }) {
  return h(
    Flex,
    {
      ...CARD,
      bg: "bg.subtle",
      borderColor: "border",
      color: "fg.muted",
      direction: "column",
      gap: 2,
      p: 3,
    },
    h(Title, { short }),
    h(Score, { short }),
    h(Explanation, { short }),
    h(Text, { fontSize: "sm", fontWeight: "semibold" }, short.left_out),
    h(Box, { flex: 1 }),
    toggle &&
      h(
        Tick,
        { isTicked, label: `Export this too${price}: ${short.name}`, toggle: () => toggle(short.id) },
        `Export this too${price}`,
      ),
    h(Buttons, { short, run }),
  );
}

/** @param {Short} short */
const isWide = ({ shape }) => shape >= 1;

/** Whether two props draw the same card. Functions do not count. */
export function isSame(/** @type {object} */ one, /** @type {object} */ other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** @param {{short: Short}} props */
export function Title({ short }) {
  const { seconds, bytes, watermark } = short;
  const facts = [
    seconds !== null && clock(seconds),
    bytes !== null && fileSize(bytes),
    watermark && `with ${watermark}`,
  ].filter(Boolean);
  return h(
    Flex,
    { alignItems: "baseline", columnGap: 2, flexWrap: "wrap" },
    h(Heading, { as: "h3", dir: "auto", flex: "1 1 12rem", size: "sm", wordBreak: "break-word" }, short.name),
    facts.length > 0 && h(Muted, { wordBreak: "break-word" }, facts.join(" · ")),
  );
}

/**
 * The virality score of a short.
 *
 * @param {{short: Short | DeliveredShort, isNarrow?: boolean}} props
 */
export function Score({ short, isNarrow = false }) {
  const { name, score } = short;
  if (score === null) return "is_whole" in short && short.is_whole ? null : h(Muted, null, "No virality score");
  const color = "left_out" in short && short.left_out !== null ? "fg.subtle" : "brand.solid";
  return h(
    HStack,
    { fontSize: "sm", gap: 2 },
    !isNarrow && h(Text, { color: "fg.muted" }, "Virality"),
    h(Bar, { role: "meter", label: `Virality score of ${name}`, percent: score, color }),
    h(Text, { fontWeight: "bold", minWidth: "3ch", textAlign: "end" }, score),
  );
}

/** @param {{short: Short}} props */
export function Explanation({ short: { name, explanation } }) {
  const [isOpen, setOpen] = useState(false);
  if (explanation === null) return null;
  const isLong = explanation.length > LONG;
  const label = `${isOpen ? "Less" : "More"} of the explanation of ${name}`;
  const toggle = { "aria-label": label, color: "fg.info", onClick: () => setOpen(!isOpen) };
  return h(
    Text,
    { color: "fg.muted", dir: "auto", fontSize: "sm", wordBreak: "break-word" },
    isLong && !isOpen ? `${explanation.slice(0, LONG).trimEnd()}…` : explanation,
    isLong && h(Box, { as: "button", ...toggle, ms: 1 }, isOpen ? "Less" : "More"),
  );
}

/** @param {{name: string, path: string}} props */
function FilePath({ name, path: given }) {
  const path = given.replace(/^file:\/\//, "");
  return h(
    HStack,
    { gap: 1 },
    h(Text, { color: "fg.muted", fontSize: "xs", lineClamp: 2, title: path, wordBreak: "break-all" }, path),
    h(CopyButton, { label: `Copy the path of ${name}`, text: path }),
  );
}

/** @param {{short: Short, run: string[]}} props */
function Buttons({ short, run }) {
  const { form } = useContext(TabContext);
  const { name, preview, log } = short;
  const video = videoUrl(run, short, { download: 1 });
  const isDelivered = short.left_out === null && short.state === "success" && !short.in_doubt && !short.retry;
  return h(
    ButtonRow,
    null,
    preview && h(OutsideButton, { href: preview, icon: "external", label: `Open in Klap: ${name}` }, "Open in Klap"),
    video && h(OutsideButton, { href: video, icon: "download", label: `Download ${name}` }, "Download"),
    log && h(TaskButton, { run, task: log, icon: "log", label: `Log of ${name}` }, "Log"),
    short.stored && h(StoredTexts, { short, run }),
    isDelivered && form?.can_export && h(ExportAgain, { short, run }),
  );
}

/** @param {{short: Short, run: string[]}} props */
function Player({ short, run }) {
  const [box, isNear] = useNear();
  const centre = { alignItems: "center", justifyContent: "center" };
  const frame = { ref: box, ...centre, flexShrink: 0, position: "relative", ...frameSize(short) };
  const src = videoUrl(run, short);
  if (src === null) {
    return h(Flex, { ...frame, bg: "bg.muted", color: "fg.subtle" }, h(Icon, { name: "short", size: 40 }));
  }
  return h(Flex, { ...frame, bg: "black" }, isNear && h(Video, { key: src, name: short.name, src }));
}

/** In the shape of the video, however long the card beside it becomes. */
function frameSize(/** @type {Short} */ short) {
  if (isWide(short)) return { aspectRatio: short.shape, maxHeight: "26rem" };
  const width = short.is_whole ? { base: "28", sm: "60" } : { base: "28", sm: "36" };
  return { alignSelf: "flex-start", aspectRatio: short.shape, width };
}

/** Whether an element is, or has been, near the visible part of the page, so that not all videos load at once. */
export function useNear() {
  const element = useRef(/** @type {any} */ (null));
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    if (isNear) return undefined;
    const observer = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && setNear(true), {
      rootMargin: NEARBY,
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [isNear]);
  return [element, isNear];
}
