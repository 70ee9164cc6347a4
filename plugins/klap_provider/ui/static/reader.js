/** Reads what there is to know about one run: few requests, nothing twice. */
import { ApiError } from "./api.js";
import { ANSWER, OPERATORS, isOfShort, xcomKey } from "./instances.js";
import { wantedXComs } from "./story.js";

const PAGE = 100; // what Airflow gives at most, unless told otherwise
const SIDE_BY_SIDE = 6;

export class RunReader {
  #run;
  #get;
  #xcoms = new Map();
  #forbidden = false;
  #latest = null;

  /**
   * @param {string} dagId
   * @param {string} runId
   * @param {typeof import("./api.js").get} get how to ask Airflow
   */
  constructor(dagId, runId, get) {
    this.#run = ["dags", dagId, "dagRuns", runId];
    this.#get = get;
  }

  /** What was read last, or null. */
  get latest() {
    return this.#latest;
  }

  /**
   * Read the run as it stands, and yield what is known whenever that is worth showing: as soon as there is a list of
   * shorts, with all task instances, and, while the run has not summed itself up, as each short tells of itself.
   *
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<import("./story.js").Answers>}
   */
  async *read(signal) {
    const [run, first] = await Promise.all([this.#get(this.#run, {}, signal), this.#page(0, signal)]);
    const more = this.#morePages(first, signal);
    more.catch(() => {}); // it is awaited below, if no other request fails first
    await this.#learn(
      wantedXComs(first.task_instances, this.#xcoms).filter(({ instance }) => !isOfShort(instance)),
      signal,
    );
    if (this.#latest === null) yield this.#keep(run, first.task_instances);

    const instances = [...first.task_instances, ...(await more)];
    yield this.#keep(run, instances);
    const wanted = wantedXComs(instances, this.#xcoms);
    while (wanted.length > 0 && !this.#forbidden) {
      await this.#learn(wanted.splice(0, SIDE_BY_SIDE), signal);
      yield this.#keep(run, instances);
    }
  }

  /** Only the run itself. */
  look(signal) {
    return this.#get(this.#run, {}, signal);
  }

  #keep(run, instances) {
    this.#latest = { run, instances, xcoms: new Map(this.#xcoms), forbidden: this.#forbidden };
    return this.#latest;
  }

  #page(offset, signal) {
    return this.#get([...this.#run, "taskInstances"], { operator: OPERATORS, limit: PAGE, offset }, signal);
  }

  async #morePages({ task_instances: { length }, total_entries: total }, signal) {
    const offsets = [];
    for (let offset = length; length > 0 && offset < total; offset += length) offsets.push(offset);
    const pages = await Promise.all(offsets.map((offset) => this.#page(offset, signal)));
    return pages.flatMap((page) => page.task_instances);
  }

  async #left({ task_id, map_index }, key, signal) {
    const instance = [...this.#run, "taskInstances", task_id];
    if (key === ANSWER) return this.#get([...instance, String(map_index), key], {}, signal);
    return (await this.#get([...instance, "xcomEntries", key], { map_index }, signal)).value;
  }

  async #learn(wanted, signal) {
    await Promise.all(
      wanted.map(async ({ instance, key }) => {
        try {
          this.#xcoms.set(xcomKey(instance, key), await this.#left(instance, key, signal));
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          if (error.status === 403 && key !== ANSWER) this.#forbidden = true;
          else if ([403, 404].includes(error.status)) this.#xcoms.set(xcomKey(instance, key), null);
          else throw error;
        }
      }),
    );
  }
}
