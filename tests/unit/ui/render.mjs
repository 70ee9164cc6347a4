/**
 * Stands for Airflow's React and Chakra UI: renders an element to markup, once and without effects. Import this before
 * the modules of the UI, which read these globals when they load.
 */

const state = (initial) => [typeof initial === "function" ? initial() : initial, () => {}];

class Component {
  constructor(props) {
    this.props = props;
  }
}

const createElement = (type, given, ...children) => {
  const { key = null, ...props } = given ?? {};
  if (children.length > 0) props.children = children.length === 1 ? children[0] : children;
  return { type, key, props };
};

const createContext = (initial) => {
  const context = { value: initial };
  context.Provider = ({ value, children }) => {
    context.value = value;
    return children;
  };
  return context;
};

globalThis.React = {
  Component,
  Fragment: ({ children }) => children,
  createContext,
  createElement,
  memo: (component) => component,
  useCallback: (work) => work,
  useContext: (context) => context.value,
  useDeferredValue: (value) => value,
  useEffect: () => {},
  useId: () => "id",
  useRef: (current) => ({ current }),
  useState: state,
};
globalThis.ChakraUI = new Proxy({}, { get: (_, name) => name });
globalThis.ReactRouterDOM = { Link: "Link" };

/**
 * Return the markup of an element. As in React, a boundary renders again after an error, and an object is no child.
 *
 * @param {any} node
 * @returns {string}
 */
export function render(node) {
  if (node === null || node === undefined || typeof node === "boolean") return "";
  if (typeof node !== "object") return String(node);
  if (Array.isArray(node)) return node.map(render).join("");
  if (node.type === undefined) throw new TypeError("Objects are not valid as a React child");
  const { type, props } = node;
  if (typeof type === "string") {
    const name = props.as ?? type;
    return `<${name}>${render(props.children)}</${name}>`;
  }
  if (!(type.prototype instanceof Component)) return render(type(props));
  const boundary = new type(props);
  try {
    return render(boundary.render());
  } catch (error) {
    boundary.state = type.getDerivedStateFromError(error);
    return render(boundary.render());
  }
}
