/** What Airflow's page provides to the modules of the UI. */

type Component<Needed = unknown> = (props: Needed & { [name: string]: unknown }) => React.ReactNode;

// Rules for accessibility. Linters have them for JSX only.
type Named = { "aria-label": string };
/** A component that cannot be used with the keyboard. */
type NoControl = Component<{ onClick?: undefined } | { as: "button" }>;
type Accessible = {
  iframe: { title: string };
  img: { alt: string };
  input: Named;
  svg: { "aria-hidden": true } | ({ role: "img" } & Named);
  video: Named;
};

/** Chakra UI's components. */
declare var ChakraUI: { [name: string]: Component } & {
  Box: NoControl;
  Flex: NoControl;
  HStack: NoControl;
  IconButton: Component<Named>;
  NativeSelectField: Component<Named>;
  Stack: NoControl;
  TableCell: NoControl;
  TableRow: NoControl;
  Text: NoControl;
};
declare var ReactRouterDOM: { Link: Component<{ to: string }>; useLocation: () => { key: string } };

/** The components that Airflow loads. */
declare var Klap: Component;
declare var Shorts: Component<{ dagId: string; runId: string }>;

type WithoutChildren<Props> = { [Name in keyof Props as Name extends "children" ? never : Name]: Props[Name] };
type Optional<Props> =
  Record<never, never> extends Props
    ? [props?: Props | null, ...children: unknown[]]
    : [props: Props, ...children: unknown[]];
type Rest<Props> = Optional<WithoutChildren<Props> & React.Attributes>;

/** React's `createElement`, with the children as arguments. */
type CreateElement = {
  <Tag extends keyof React.JSX.IntrinsicElements>(
    type: Tag,
    ...rest: Rest<React.JSX.IntrinsicElements[Tag] & (Tag extends keyof Accessible ? Accessible[Tag] : unknown)>
  ): React.ReactElement;
  <Value>(type: React.Provider<Value>, ...rest: Rest<{ value: Value }>): React.ReactElement;
  <Props>(type: React.JSXElementConstructor<Props>, ...rest: Rest<Props>): React.ReactElement;
};
