import { expect, test } from "vitest";
import { globMistake, globs } from "../../../src/config/globs.ts";

test.for<[string, string, boolean]>([
  ["*.pid", "run/nginx/nginx.pid", true],
  ["*.pid", "nginx.pid", true],
  ["*.pid", "run/nginx.pid/other", false],
  ["nginx.conf", "etc/nginx/nginx.conf", true],
  ["nginx.conf", "etc/nginx/nginx.conf.bak", false],
  ["/etc/nginx/nginx.conf", "etc/nginx/nginx.conf", true],
  ["/nginx/nginx.conf", "etc/nginx/nginx.conf", false],
  ["nginx/*.conf", "etc/nginx/a.conf", true],
  ["nginx/*.conf", "nginx/a.conf", true],
  ["nginx/*.conf", "etc/nginx/conf.d/a.conf", false],
  ["/etc/*.conf", "etc/a.conf", true],
  ["/etc/*.conf", "etc/nginx/a.conf", false],
  ["/etc/**", "etc/nginx/conf.d/a.conf", true],
  ["/etc/**", "etcetera/a.conf", false],
  ["/etc/**/*.conf", "etc/a.conf", true],
  ["/etc/**/*.conf", "etc/x/y/a.conf", true],
  ["/etc/{a,b}.conf", "etc/b.conf", true],
  ["/etc/?.conf", "etc/a.conf", true],
  ["/etc/[ab].conf", "etc/c.conf", false],
  ["*", "etc/.hidden", true],
  ["/etc/**", "etc/.hidden/a", true],
  ["nginx/**", "etc/.hidden/nginx/a", true],
  ["*.[", "etc/a.[", true],
  ["!a", "etc/b", false],
  ["/!a", "b", false],
  ["/", "a", false],
  ["/**/*.pid", "nginx.pid", true],
  ["/etc/app", "etc/app/conf.d/a.conf", true],
  ["/etc/app/", "etc/app/a.conf", true],
  ["/etc/app", "etc/apple/a.conf", false],
  ["conf.d", "etc/app/conf.d/a.conf", true],
  ["conf.*/", "etc/app/conf.d/a.conf", true],
])("%s means %s: %s", ([glob, path, expected]) => {
  expect(globs([glob])(path)).toBe(expected);
});

test("one of several is enough; none means nothing", () => {
  expect(globs(["*.a", "*.b"])("x.b")).toBe(true);
  expect(globs([])("x.b")).toBe(false);
});

test.for(["", " ", "/", "//", "./etc/a", "/etc/../a", "/etc/a.conf "])(
  "%j can never mean a file, and is refused",
  (glob) => {
    expect(globMistake(glob)).toContain("expected a glob");
  },
);

test.for(["/etc/app/", "*", "a..b", ".hidden"])("%j is a glob", (glob) => {
  expect(globMistake(glob)).toBeUndefined();
});
