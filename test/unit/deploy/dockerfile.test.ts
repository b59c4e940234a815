import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { pairsOf, parseDockerfile } from "../../image/dockerfile.ts";

const TOP = resolve(import.meta.dirname, "../../..");

function read(path: string): string {
  return readFileSync(join(TOP, path), "utf8");
}

describe("deploy/Dockerfile", () => {
  const stages = parseDockerfile(read("deploy/Dockerfile"));
  const final = stages.at(-1)!;
  const last = (name: string) => final.instructions.findLast((instruction) => instruction.name === name)?.text;

  test("every base has an exact version, that of the Node that the tests run on", () => {
    const { devDependencies } = JSON.parse(read("package.json")) as { devDependencies: { node: string } };
    for (const { from } of stages) expect(from).toBe(`node:${devDependencies.node}-bookworm-slim`);
  });

  test("what is copied exists and .dockerignore lets it in", () => {
    const allowed = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    const copies = stages
      .flatMap(({ instructions }) => instructions)
      .filter(({ name, flags }) => name === "COPY" && !flags.has("from"));
    const sources = copies.flatMap(({ text }) => text.split(/\s+/).slice(0, -1));
    expect(sources.toSorted()).toEqual(allowed.toSorted());
    for (const source of sources) expect(existsSync(join(TOP, source)), source).toBe(true);
  });

  test("runs as a user without rights, under an init that reaps", () => {
    expect(last("USER")).toBe("65532:65532");
    expect(JSON.parse(last("ENTRYPOINT")!)).toEqual(["tini", "--", "fssync"]);
    expect(JSON.parse(last("CMD")!)).toEqual(["run"]);
  });

  test("the health check asks where the controller listens", () => {
    const env = new Map(
      final.instructions.filter(({ name }) => name === "ENV").flatMap(({ text }) => [...pairsOf(text)]),
    );
    // On loopback, which is the default: for another address callers need tokens.
    expect(env.has("FSSYNC_LISTEN")).toBe(false);
    expect(last("HEALTHCHECK")).toContain("http://127.0.0.1:8080/healthz");
    expect(last("EXPOSE")).toBe("8080");
  });
});
