/** A short that a person may pick, with Klap's player in place. */
import { Explanation, Score, Title, isSame, useNear } from "./card.js";
import { Icon, OutsideButton, Tick, h } from "./parts.js";
import { money } from "./words.js";

const { memo } = globalThis.React;
const { Box, Flex, Text } = globalThis.ChakraUI;

const HEIGHT = 24; // rem: the whole of a short is seen, and two of them beside each other

/** `toggle` is told the id of a short that is picked or no longer picked. */
export const PickCard = memo(function PickCard({ short, price, isPicked, toggle }) {
  const cost = price === undefined ? "" : ` · ${money(price)}`;
  const words = short.exported ? "Export · exported before, free" : `Export${cost}`;
  const look = { bg: isPicked ? "bg.subtle" : "bg", borderColor: isPicked ? "brand.solid" : "border.emphasized" };
  return h(
    Flex,
    {
      as: "li",
      ...look,
      borderRadius: 8,
      borderWidth: 1,
      flexWrap: "wrap",
      overflow: "hidden",
    },
    h(Preview, { short }),
    h(
      Flex,
      { direction: "column", flex: "1 1 11rem", gap: 2, minWidth: 0, p: 3 },
      h(Title, { short }),
      h(Score, { short }),
      h(Explanation, { short }),
      short.left_out && h(Text, { color: "fg.muted", fontSize: "sm" }, `Not preselected: ${short.left_out.toLowerCase()}`),
      h(Box, { flex: 1 }),
      h(Tick, { isTicked: isPicked, label: `${words}: ${short.name}`, toggle: () => toggle(short.id) }, words),
      short.preview &&
        h(
          Box,
          null,
          h(
            OutsideButton,
            { href: short.preview, icon: "external", label: `Preview ${short.name} in Klap` },
            "Preview",
          ),
        ),
    ),
  );
}, isSame);

/** Klap's player, once the card is near what is seen: a page of its own for each of a hundred is too much at once. */
function Preview({ short }) {
  const [box, isNear] = useNear();
  const size = short.shape < 1 ? { height: `${HEIGHT}rem` } : { maxHeight: `${HEIGHT}rem`, width: "100%" };
  const frame = { alignItems: "center", bg: "bg.muted", flexShrink: 0, justifyContent: "center", maxWidth: "100%" };
  // It may not play by itself: there are several.
  const page = { allow: "fullscreen", src: short.embed, title: `Klap's player of ${short.name}` };
  return h(
    Flex,
    { ...frame, ...size, aspectRatio: short.shape, color: "fg.subtle", ref: box },
    short.embed === null && h(Icon, { name: "short", size: 40 }),
    short.embed !== null &&
      isNear &&
      h("iframe", { ...page, style: { border: 0, height: "100%", width: "100%" } }),
  );
}
