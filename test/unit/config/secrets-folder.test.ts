import { mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { SecretsFolder } from "../../../src/config/secrets-folder.ts";

describe("secrets in a folder", () => {
  let folder: string;
  let secrets: SecretsFolder;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fssync-secrets-"));
    secrets = new SecretsFolder({ folder });
  });

  it("reads one file a key without the last newline, but keeps it for identity", async () => {
    await mkdir(join(folder, "git"));
    await writeFile(join(folder, "git", "password"), "s3cret \n\n");
    await writeFile(join(folder, "git", "username"), "bob");
    await writeFile(join(folder, "git", "identity"), "KEY\n");
    expect(await secrets.read("git")).toEqual(
      new Map([
        ["identity", "KEY\n"],
        ["password", "s3cret \n"],
        ["username", "bob"],
      ]),
    );
  });

  it("gives an identity the newline that OpenSSH wants", async () => {
    await mkdir(join(folder, "ssh"));
    await writeFile(join(folder, "ssh", "identity"), "KEY");
    expect((await secrets.read("ssh")).get("identity")).toBe("KEY\n");
  });

  it("reads what Kubernetes mounts: links over ..data, dot entries are no keys", async () => {
    const secret = join(folder, "git");
    await mkdir(join(secret, "..2026_01_01"), { recursive: true });
    await writeFile(join(secret, "..2026_01_01", "token"), "t\n");
    await symlink("..2026_01_01", join(secret, "..data"));
    await symlink("..data/token", join(secret, "token"));
    expect(await secrets.read("git")).toEqual(new Map([["token", "t"]]));
  });

  it("sees a rotated value", async () => {
    await mkdir(join(folder, "git"));
    await writeFile(join(folder, "git", "token"), "old");
    await secrets.read("git");
    await writeFile(join(folder, "git", "token"), "new");
    expect((await secrets.read("git")).get("token")).toBe("new");
  });

  it("names the folder that is missing", async () => {
    await expect(secrets.read("cmdb")).rejects.toMatchObject({
      reason: "SecretInvalid",
      message: `the folder ${join(folder, "cmdb")} is missing`,
    });
  });

  it("refuses an empty folder and a dangling link", async () => {
    await mkdir(join(folder, "empty"));
    await expect(secrets.read("empty")).rejects.toMatchObject({ reason: "SecretInvalid" });
    await symlink("nowhere", join(folder, "empty", "token"));
    await expect(secrets.read("empty")).rejects.toThrow(join(folder, "empty", "token"));
  });

  it.each(["../etc", "a/b", "..", ".hidden", "", "-x"])("refuses the name %j", async (name) => {
    await expect(secrets.read(name)).rejects.toMatchObject({ reason: "SecretInvalid" });
  });
});
