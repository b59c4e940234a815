import { expect, test } from "vitest";
import { REPO_LABEL } from "../../../src/kubernetes/objects.ts";
import { repoLabel } from "../../../src/kubernetes/store/labels.ts";
import { watchedApp, watchedHost } from "../../../src/kubernetes/watched.ts";

test("a ConfigRepo whose name is too long for a label has its objects all the same", () => {
  const name = "a".repeat(100);
  expect(repoLabel(name)).not.toBe(name);
  const metadata = { namespace: "ns", name: "x", labels: { [REPO_LABEL]: repoLabel(name) } };
  const repoRef = { name };
  const app = watchedApp({ metadata, spec: { repoRef, mod: "m", env: "e", app: "a" } });
  const host = watchedHost({ metadata, spec: { repoRef, address: "10.0.0.1", port: 22 } });
  expect([app.repo, host.repo]).toEqual([`ns/${name}`, `ns/${name}`]);
});
