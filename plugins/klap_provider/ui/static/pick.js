/** What a choice of shorts costs. Pure. */
import { money } from "./words.js";

/** The set with one more, or without it. */
export function toggled(before, id) {
  const after = new Set(before);
  if (!after.delete(id)) after.add(id);
  return after;
}

/**
 * @param {object[]} picked shorts
 * @param {object | null} offer what an export costs
 * @returns {{total: number | null, words: string}} US dollars, null where no price is known; and what is to be said
 */
export function billOf(picked, offer) {
  if (offer === null) return { total: null, words: "" };
  const { price, estimated, covered } = offer;
  const paid = picked.filter(({ exported }) => !exported).length;
  const free = picked.length - paid;
  const within = covered === null ? paid : Math.min(covered, paid);
  const said = [`${paid} × ${money(price)}${estimated ? ", an estimated price" : ""}`];
  if (free > 0) said.push(`${free} exported before, no cost`);
  if (covered !== null && covered < paid) said.push(`the budget covers ${covered}: the best ${covered} are exported`);
  else if (covered !== null) said.push(`the budget covers ${covered - paid} more`);
  return { total: within * price, words: said.join(" · ") };
}
