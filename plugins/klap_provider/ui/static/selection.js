/** The selected shorts and what their exports cost. Pure. */
import { formatPrice } from "./texts.js";

/** Return the set with one more id, or without it. */
export function toggled(before, id) {
  const after = new Set(before);
  if (!after.delete(id)) after.add(id);
  return after;
}

/**
 * Return what the exports of the selected shorts cost.
 *
 * @param {object[]} selected shorts
 * @param {object | null} offer the price of an export, and how many exports the budget covers
 * @returns {{total: number | null, text: string}} US dollars, null if no price is known; and the calculation to show
 */
export function selectionCost(selected, offer) {
  if (offer === null) return { total: null, text: "" };
  const { price, estimated, covered } = offer;
  const paid = selected.filter(({ exported }) => !exported).length;
  const free = selected.length - paid;
  const within = covered === null ? paid : Math.min(covered, paid);
  const parts = [`${paid} × ${formatPrice(price)}${estimated ? " (estimated)" : ""}`];
  if (free > 0) parts.push(`${free} already exported (free)`);
  if (covered !== null && covered < paid) parts.push(`the budget covers ${covered}: the best ${covered} are exported`);
  else if (covered !== null) parts.push(`the budget covers ${covered - paid} more`);
  return { total: within * price, text: parts.join(" · ") };
}
