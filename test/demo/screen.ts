import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** Prints the demo: numbered steps, what happened under each and how long it took. */
export class Screen {
  readonly #stream: NodeJS.WriteStream;
  #steps = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  get terminal(): boolean {
    return this.#stream.isTTY === true;
  }

  title(text: string): void {
    this.#print(`\n${this.#paint("bold", text)}\n`);
  }

  step(text: string): void {
    this.#print(`\n${this.#paint(["cyan", "bold"], `${++this.#steps}.`)} ${this.#paint("bold", text)}\n`);
  }

  /** Something that was seen, and how long it took. */
  seen(text: string, milliseconds?: number): void {
    const time = milliseconds === undefined ? "" : `  ${this.#paint("yellow", seconds(milliseconds))}`;
    this.#print(`   ${this.#paint("green", "✓")} ${text}${time}\n`);
  }

  line(text: string): void {
    this.#print(`   ${text}\n`);
  }

  /** Text of several lines as it is. */
  block(text: string): void {
    this.#print(text.replace(/^(?=.)/gm, "   "));
  }

  summary(text: string, measured: ReadonlyMap<string, number>): void {
    this.#print(`\n${this.#paint(["green", "bold"], text)}\n`);
    const width = Math.max(...[...measured.keys()].map(({ length }) => length));
    for (const [what, took] of measured) {
      this.#print(`   ${what.padEnd(width)}  ${this.#paint("yellow", seconds(took).padStart(7))}\n`);
    }
  }

  failure(error: unknown, log: readonly Record<string, unknown>[]): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#print(`\n${this.#paint(["red", "bold"], `✗ Step ${this.#steps} did not happen:`)} ${message}\n`);
    if (log.length > 0) this.#print("   the controller's last words:\n");
    for (const line of log) this.#print(`   ${JSON.stringify(line)}\n`);
  }

  #print(text: string): void {
    this.#stream.write(text);
  }

  #paint(style: Style, text: string): string {
    const coloured = this.terminal && !process.env["NO_COLOR"];
    return coloured ? styleText(style, text, { validateStream: false }) : text;
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
