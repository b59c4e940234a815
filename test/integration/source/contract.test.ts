import { gitSourceContract } from "../../contract/git-source.ts";
import { makeRepo } from "../../support/repo.ts";
import { openSource, temporaryFolder } from "./open-source.ts";

gitSourceContract("mirror of a file remote", async () => {
  const repo = await makeRepo();
  const dir = await temporaryFolder();
  return {
    open: async () => openSource({ url: repo.url, dir: dir.path }),
    remote: {
      commit: (changes, message) => repo.commit(changes, message === undefined ? {} : { message }),
      forcePush: (files) => repo.forcePush(files),
      removeBranch: () => repo.removeBranch(),
      prune: () => repo.prune(),
      async [Symbol.asyncDispose]() {
        await repo[Symbol.asyncDispose]();
        await dir[Symbol.asyncDispose]();
      },
    },
  };
});
