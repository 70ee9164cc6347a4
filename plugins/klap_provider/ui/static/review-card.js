/** A short of a review, with Klap's player. */
import { Explanation, isSame, Score, Title, useNear } from "./card.js";
import { CARD, Tick } from "./card-grid.js";
import { h, Icon, Muted, OutsideButton } from "./components.js";
import { priceText } from "./texts.js";

const { memo } = globalThis.React;
const { Box, Flex, Text } = globalThis.ChakraUI;

const HEIGHT = 24; // rem: two whole shorts fit beside each other

export const ReviewCard = memo(ReviewedShort, isSame);

/**
 * @param {object} props
 * @param {Short} props.short
 * @param {number | null} props.price
 * @param {boolean} props.isSelected
 * @param {boolean} props.isDropped
 * @param {(id: string) => void} props.toggle
 */
function ReviewedShort({ short, price, isSelected, isDropped, toggle }) {
  const text = short.exported ? "Export · free, already exported" : `Export · ${priceText({ price })}`;
  const style = {
    bg: isSelected ? "bg.subtle" : "bg",
    borderColor: isSelected ? "brand.solid" : "border.emphasized",
  };
  return h(
    Flex,
    {
      ...CARD,
      ...style,
      flexWrap: "wrap",
    },
    h(Preview, { short }),
    h(
      Flex,
      { direction: "column", flex: "1 1 11rem", gap: 2, minWidth: 0, p: 3 },
      h(Title, { short }),
      h(Score, { short }),
      h(Explanation, { short }),
      short.left_out && h(Muted, null, short.left_out),
      isDropped && h(Text, { color: "fg.warning", fontSize: "sm" }, "Over the budget: will not be exported"),
      h(Box, { flex: 1 }),
      h(Tick, { isTicked: isSelected, label: `${text}: ${short.name}`, toggle: () => toggle(short.id) }, text),
      short.preview &&
        h(
          Box,
          null,
          h(
            OutsideButton,
            { href: short.preview, icon: "external", label: `Open in Klap: ${short.name}` },
            "Open in Klap",
          ),
        ),
    ),
  );
}

/** Klap's player, loaded when the card is near the visible part of the page: each player is a page of its own. */
function Preview(/** @type {{short: Short}} */ { short }) {
  const [box, isNear] = useNear();
  const size = short.shape < 1 ? { height: `${HEIGHT}rem` } : { maxHeight: `${HEIGHT}rem`, width: "100%" };
  const frame = { alignItems: "center", bg: "bg.muted", flexShrink: 0, justifyContent: "center", maxWidth: "100%" };
  // No autoplay: there are several players.
  const page = { allow: "fullscreen", src: short.embed ?? undefined, title: `Klap's player of ${short.name}` };
  return h(
    Flex,
    { ...frame, ...size, aspectRatio: short.shape, color: "fg.subtle", ref: box },
    short.embed === null && h(Icon, { name: "short", size: 40 }),
    short.embed !== null && isNear && h("iframe", { ...page, style: { border: 0, height: "100%", width: "100%" } }),
  );
}
