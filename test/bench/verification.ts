import { median } from "./figures.ts";
import { startLooker } from "./looker.ts";
import { dryRunWay, type Measured, type Surroundings } from "./ways.ts";

export interface VerificationWay {
  readonly name: string;
  /** The round of the median CPU. */
  readonly measured: Measured;
}

/** Looks at all hosts, of which the middle counts: a controller of days has seen many. */
const LOOKS = 9;

/** What it costs to compare all files with what lies on all hosts, over warm connections; the hosts have them. */
export async function verification(around: Surroundings): Promise<VerificationWay[]> {
  await using builtin = await startLooker(around, "builtin");
  await using openssh = await startLooker(around, "openssh");
  const dryRun = await dryRunWay(around);
  const hosts = around.fleet.hosts.length;
  const files = around.paths.length;
  const ways = [
    { name: "fssync: `stat`, `sha256sum`, `readlink` in one command", run: () => builtin.look(0, hosts, files) },
    { name: "the same with `client: openssh`", run: () => openssh.look(0, hosts, files) },
    { name: "`rsync -nci`, `xargs -P8`", run: dryRun },
  ];
  const found = new Map(ways.map(({ name }) => [name, [] as Measured[]]));
  for (const { run } of ways) await run();
  for (let look = 0; look < LOOKS; look += 1) for (const { name, run } of ways) found.get(name)!.push(await run());
  return [...found].map(([name, measured]) => ({ name, measured: middle(measured) }));
}

function middle(found: readonly Measured[]): Measured {
  const cpu = median(found.map((one) => one.cpu));
  return found.find((one) => one.cpu === cpu)!;
}
