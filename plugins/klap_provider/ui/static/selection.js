/** The selected shorts and what their exports cost. Pure. */
import { formatPrice } from "./texts.js";

/** Return the set with one more id, or without it. */
export function toggled(/** @type {Set<string>} */ before, /** @type {string} */ id) {
  const after = new Set(before);
  if (!after.delete(id)) after.add(id);
  return after;
}

/**
 * Return what the exports of the selected shorts cost.
 *
 * @param {{id: string, exported: boolean}[]} selected shorts, best first
 * @param {Pick<Offer, "price" | "estimated" | "covered"> | null} offer the price of an export, and how many
 *   exports the budget covers
 * @returns {{exports: number, pays: {price: number | null, estimated: boolean}, dropped: Set<string>, text: string}} the
 *   number of shorts that are exported, their price, the ids of those over the budget, and the calculation to show
 */
export function selectionCost(selected, offer) {
  const paid = selected.filter(({ exported }) => !exported);
  const free = selected.length - paid.length;
  if (offer === null) {
    const price = paid.length ? null : 0;
    return { exports: selected.length, pays: { price, estimated: false }, dropped: new Set(), text: "" };
  }
  const { price, estimated, covered } = offer;
  const within = Math.min(covered ?? paid.length, paid.length);
  const dropped = new Set(paid.slice(within).map(({ id }) => id));
  const parts = [`${paid.length} × ${formatPrice(price)}${estimated ? " (estimated)" : ""}`];
  if (free > 0) parts.push(`${free} already exported (free)`);
  if (dropped.size > 0) parts.push(`the budget covers ${covered}: the best ${covered} are exported`);
  else if (covered !== null) parts.push(`the budget covers ${covered - paid.length} more`);
  return { exports: within + free, pays: { price: within * price, estimated }, dropped, text: parts.join(" · ") };
}
