import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

/** Says which native code is looked for by whoever loads the module. */
const LOOKED_FOR = `
import { createRequire, registerHooks } from "node:module";
const found = [];
registerHooks({
  resolve(specifier, context, next) {
    if (specifier.endsWith(".node")) found.push(specifier);
    return next(specifier, context);
  },
});
if (process.argv[1] === "fssync") await import(process.argv[2]);
else createRequire(process.argv[2])("ssh2");
console.log(JSON.stringify(found));
`;

test("native code of ssh2 is not even looked for, as it would be without us", () => {
  const module = new URL("../../../../src/transport/builtin/ssh2.ts", import.meta.url).href;
  const lookedFor = (who: string) => {
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", LOOKED_FOR, who, module], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    return JSON.parse(stdout) as string[];
  };
  expect(lookedFor("ssh2").join()).toContain("sshcrypto.node");
  expect(lookedFor("fssync")).toEqual([]);
});
