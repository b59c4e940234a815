import { expect, it } from "vitest";
import { fleetFiles, makeRepo } from "../../support/repo.ts";
import { openSource, temporaryFolder } from "./open-source.ts";
import { here } from "../../support/machine.ts";

/** Milliseconds after a commit of one file, 1,000 apps of 10 files each. Usual: about 60. */
const INCREMENTAL = 300;

it("discovers 1,000 apps after a commit of one file in well under a third of a second", async () => {
  const { signal } = new AbortController();
  const files = fleetFiles({ apps: 1000, files: 10 });
  await using repo = await makeRepo({ ...files, ".gitattributes": "*.conf owner=root group=adm mode=0640\n" });
  await using dir = await temporaryFolder();
  await using source = openSource({ url: repo.url, dir: dir.path });
  const first = await source.poll(signal);
  const cold = await timed(() => source.discover(first));
  const before = await source.discover(first);

  const runs: number[] = [];
  for (let run = 0; run < 3; run++) {
    await repo.commit({ "mod1/test/app1/etc/service/conf.d/3.conf": `run ${run}\n` });
    const commit = await source.poll(signal);
    runs.push(await timed(() => source.discover(commit)));
    const after = await source.discover(commit);
    const changed = [...after.apps.values()].filter((app) => before.apps.get(app.key)?.manifest !== app.manifest);
    expect(changed.map(({ key }) => key)).toEqual(["mod1/test/app1"]);
  }
  console.info(
    `discover: cold ${cold.toFixed(0)} ms, after one file ${runs.map((run) => run.toFixed(0)).join(", ")} ms`,
  );
  // The best of three: the machine may have other work.
  expect(Math.min(...runs)).toBeLessThan(here(INCREMENTAL));
});

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
