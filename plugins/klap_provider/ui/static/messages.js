/** What is shown in place of a part of a page: while it loads, after an error, and to explain it. */
import { errorText } from "./api.js";
import { h, SmallButton } from "./components.js";

const { Component } = globalThis.React;
const { AlertContent, AlertIndicator, AlertRoot, Box, Skeleton, Stack } = globalThis.ChakraUI;

/**
 * The placeholder while data is loading.
 *
 * @param {{heights?: number[]}} props `heights`: of its lines
 */
export const Loading = ({ heights = [10, 10, 10] }) =>
  h(
    Stack,
    { "aria-busy": true, "aria-label": "Loading", gap: 2, role: "status" },
    ...heights.map((height, line) => h(Skeleton, { key: line, height })),
  );

/**
 * A message in a box, as Airflow shows its errors.
 *
 * @param {{status: "error" | "success" | "warning", children?: any}} props
 */
export function Notice({ status, children }) {
  return h(
    AlertRoot,
    { role: "alert", status },
    h(AlertIndicator),
    h(AlertContent, { display: "block", wordBreak: "break-word" }, children),
  );
}

/**
 * The error of a request, with a button that sends it again.
 *
 * @param {{error: Error, retry: () => void, forbidden?: string}} props `forbidden`: see {@link errorText}
 */
export function RequestError({ error, retry, forbidden }) {
  const button = h(SmallButton, { onClick: retry }, "Retry");
  return h(Notice, { status: "error" }, errorText(error, forbidden), " ", button);
}

const NOT_SHOWN =
  "This part could not be shown. Reload this page. If it is missing again, report this error to an administrator:";

/**
 * A part of a page. If it throws while it renders, one sentence replaces it, and the other parts stay.
 * React logs the error to the console. The part is rendered again when its parent is, such as with new data.
 *
 * @extends {React.Component<{as?: string, children?: any}>}
 */
export class ErrorBoundary extends Component {
  /** @type {{error: Error | null}} */
  state = { error: null };

  /** @param {Error} error */
  static getDerivedStateFromError = (error) => ({ error });

  /**
   * @param {{children?: any}} before
   * @param {{error: Error | null}} stateBefore
   */
  componentDidUpdate({ children }, { error }) {
    if (error !== null && children !== this.props.children) this.setState({ error: null });
  }

  render() {
    const { as, children } = this.props;
    const { error } = this.state;
    return error === null ? children : h(Box, { as }, h(Notice, { status: "error" }, `${NOT_SHOWN} ${error}`));
  }
}
