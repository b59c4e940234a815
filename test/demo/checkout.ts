import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runGit } from "../support/repo.ts";

const AUTHOR = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"];

/** A clone as a person has one: edit, commit, push. */
export class Checkout {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async clone(url: string, dir: string): Promise<Checkout> {
    await runGit(["clone", "--quiet", url, dir]);
    return new Checkout(dir);
  }

  /** Writes files (null: removes), commits and pushes. */
  async push(message: string, files: Readonly<Record<string, string | null>>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.#dir, path);
      await mkdir(dirname(file), { recursive: true });
      await (content === null ? rm(file) : writeFile(file, content));
    }
    await this.#git("add", "--all");
    await this.#git(...AUTHOR, "commit", "--quiet", "--message", message);
    await this.#git("push", "--quiet");
  }

  async #git(...args: string[]): Promise<void> {
    await runGit(["-C", this.#dir, ...args]);
  }
}
