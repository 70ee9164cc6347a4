/**
 * The Shorts tab of a run page: what Airflow loads.
 *
 * Airflow gives the page its own React, Chakra UI and router as globals, and takes the component from the global that
 * is named as the app in plugin.py.
 */
import { ShortsTab } from "./view.js";

globalThis.Shorts = ShortsTab;
