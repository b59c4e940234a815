import { createRequire, registerHooks } from "node:module";
import type * as Ssh2 from "ssh2";

/** ssh2 1.17 and its `cpu-features` load native code where their install scripts were let run and found a compiler. */
const NATIVE = ".node";

/**
 * ssh2, in JavaScript wherever it is installed. Objects of its native binding end the whole process now and then: some
 * collections of garbage belong to no context, and `node::ObjectWrap` of Node 24.21 asks for one when it is freed.
 */
function withoutBinding(): typeof Ssh2 {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier.endsWith(NATIVE)) throw new Error("fssync uses no native code of ssh2");
      return next(specifier, context);
    },
  });
  try {
    return createRequire(import.meta.url)("ssh2") as typeof Ssh2;
  } finally {
    hooks.deregister();
  }
}

export const ssh2 = withoutBinding();
