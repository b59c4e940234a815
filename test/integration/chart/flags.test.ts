import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { V1Deployment } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { pairsOf, parseDockerfile } from "../../image/dockerfile.ts";
import { find, render } from "../../support/chart.ts";

const TOP = resolve(import.meta.dirname, "../../..");
const HELP = execFileSync(process.execPath, [join(TOP, "src/main.ts"), "run", "--help"], { encoding: "utf8" });

const EVERYTHING = {
  tokensSecret: "api",
  tls: { secretName: "tls" },
  compat: { enabled: true, anonymous: true },
};

describe("the program knows what it is started with", () => {
  test.each([
    ["the defaults", {}],
    ["the whole cluster", { rbac: { scope: "cluster" } }],
    ["everything of the API", { api: EVERYTHING, metrics: { port: 9090 } }],
    ["no API", { api: { kubernetesAuth: false }, metrics: { port: 9090 } }],
    ["no leader election", { replicas: 1, leaderElection: { enabled: false } }],
  ])("by the chart: %s", async (_, values) => {
    const { spec } = find<V1Deployment>(await render({ values }), "Deployment");
    const { args, env } = spec!.template.spec!.containers[0]!;
    const [command, ...flags] = args!;
    expect(command).toBe("run");
    const names = env!.map(({ name }) => name).filter((name) => name.startsWith("FSSYNC_"));
    expect(names).toHaveLength(3);
    for (const name of names) expect(HELP.replaceAll(/\s+/g, " ")).toMatch(new RegExp(`\\benv: ${name}\\)`));
    for (const flag of flags) expect(HELP).toMatch(new RegExp(`^ +(-\\w, )?${flag.split("=")[0]}\\b`, "m"));
  });

  test("by the image", () => {
    const stages = parseDockerfile(readFileSync(join(TOP, "deploy/Dockerfile"), "utf8"));
    const env = stages.at(-1)!.instructions.filter(({ name }) => name === "ENV");
    const names = env.flatMap(({ text }) => [...pairsOf(text).keys()]).filter((name) => name.startsWith("FSSYNC_"));
    expect(names).toHaveLength(3);
    for (const name of names) expect(HELP.replaceAll(/\s+/g, " ")).toMatch(new RegExp(`\\benv: ${name}\\)`));
  });
});
