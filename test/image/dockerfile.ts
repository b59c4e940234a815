/** One instruction of a Dockerfile. */
export interface Instruction {
  readonly name: string;
  /** Words before the rest that begin with two dashes: `--from=build`. */
  readonly flags: ReadonlyMap<string, string>;
  readonly text: string;
}

export interface Stage {
  readonly from: string;
  readonly alias: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile; what ARG says before the first stage is put into FROM. */
export function parseDockerfile(text: string): readonly Stage[] {
  const args = new Map<string, string>();
  const stages: { from: string; alias: string | undefined; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    const stage = stages.at(-1);
    if (instruction.name === "FROM") {
      const [from, , alias] = substitute(instruction.text, args).split(/\s+/);
      stages.push({ from: from!, alias, instructions: [] });
    } else if (stage) {
      stage.instructions.push(instruction);
    } else if (instruction.name === "ARG") {
      const [name, value = ""] = instruction.text.split("=");
      args.set(name!, value);
    } else {
      throw new Error(`${instruction.name} before the first FROM`);
    }
  }
  return stages;
}

/** Comment lines are dropped within an instruction of several lines too. */
function instructionsOf(text: string): Instruction[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.trimStart().startsWith("#"));
  const joined = lines.join("\n").replaceAll(/\\\n/g, " ");
  return joined.split("\n").map((line) => {
    const [, name, flags, rest] = /^\s*([A-Z]+)\s+((?:--\S+\s+)*)(.*)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`not an instruction: ${line}`);
    const pairs = flags!.split(/\s+/).filter(Boolean);
    return { name, flags: new Map(pairs.map((pair) => pairOf(pair.slice(2)))), text: rest!.trim() };
  });
}

/** `A=b` or `A="b c"`, several of them, as ENV and LABEL have them. */
export function pairsOf(text: string): ReadonlyMap<string, string> {
  const pairs = [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)];
  return new Map(pairs.map(([, name, quoted, plain]) => [name!, quoted ?? plain!]));
}

function pairOf(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function substitute(text: string, args: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => args.get(name) ?? "");
}
