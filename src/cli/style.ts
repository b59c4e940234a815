import { styleText } from "node:util";
import type { State } from "../model/state.ts";

type Style = Parameters<typeof styleText>[0];

const STATE_STYLES = {
  Failed: ["red", "bold"],
  Conflict: "magenta",
  Unreachable: "yellow",
  Drifted: "cyan",
  Syncing: "blue",
  Pending: "blue",
  Suspended: "gray",
  Synced: "green",
} as const satisfies Record<State, Style>;

export type Paint = (style: Style, text: string) => string;

/** Paints text on a terminal, leaves it plain elsewhere or where NO_COLOR is set. */
export function painter(terminal: boolean): Paint {
  const coloured = terminal && !process.env["NO_COLOR"];
  return (style, text) => (coloured ? styleText(style, text, { validateStream: false }) : text);
}

export function stateStyle(state: State): Style {
  return STATE_STYLES[state];
}
