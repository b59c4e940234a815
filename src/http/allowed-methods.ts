import type { ApiServer } from "./api-server.ts";
import { pathOf } from "./request-log.ts";

type Matches = (segments: readonly string[]) => boolean;

/** Before the routes: tells which methods there are at a path, for whoever came with another one. */
export function allowedMethods(server: ApiServer): (url: string) => readonly string[] {
  const routes: { readonly methods: readonly string[]; readonly matches: Matches }[] = [];
  server.addHook("onRoute", ({ method, url }) => {
    routes.push({ methods: [method].flat(), matches: routeMatcher(url) });
  });
  return (url) => {
    const segments = pathOf(url).split("/");
    const found = routes.filter(({ matches }) => matches(segments)).flatMap(({ methods }) => methods);
    return [...new Set(found)].sort();
  };
}

/** Of Fastify's patterns those that there are: `:name`, `:name(expression)`, `:name.ending` and `*` at the end. */
function routeMatcher(url: string): Matches {
  const parts = url.split("/");
  const isOpen = parts.at(-1) === "*";
  const matchers = (isOpen ? parts.slice(0, -1) : parts).map(segmentMatcher);
  return (segments) => {
    const isLong = isOpen ? segments.length > matchers.length : segments.length === matchers.length;
    return isLong && matchers.every((matches, at) => matches(segments[at]!));
  };
}

function segmentMatcher(part: string): (segment: string) => boolean {
  const parameter = /^:\w+(?:\((.*)\))?(.*)$/.exec(part);
  if (!parameter) return (segment) => segment === part;
  const [, expression = ".", ending = ""] = parameter;
  const isIt = new RegExp(expression);
  return (segment) => segment.length > ending.length && segment.endsWith(ending) && isIt.test(segment);
}
