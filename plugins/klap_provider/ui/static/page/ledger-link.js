/** A link to the rows of the ledger, on Airflow's own page of that asset. */
import { ApiError, ledgerId } from "../api.js";
import { h, Icon, SmallButton } from "../components.js";
import { useResponse } from "./hooks.js";

const { Link } = globalThis.ReactRouterDOM;

/** @param {AbortSignal} signal */
async function find(signal) {
  try {
    return { id: await ledgerId(signal) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return { id: null }; // the user may not read assets
    throw error;
  }
}

/** The link, if the user may read the asset. */
export function LedgerLink() {
  const { response } = useResponse(find, "ledger");
  if (response?.id == null) return null;
  return h(
    SmallButton,
    { alignSelf: "start", asChild: true },
    h(Link, { to: `/assets/${response.id}/asset-state-store` }, h(Icon, { name: "log" }), "Open the ledger"),
  );
}
