import { expect, test } from "vitest";
import { apiOf } from "../../../src/kubernetes/lease.ts";

const said = (api: string) => apiOf({ metadata: { annotations: { "fssync.dev/api": api } } });

test.for(["http://10.1.2.3:8080", "https://[fd00::1]:8443", "http://pod-0.fssync:80"])(
  "%s is where an API may be",
  (api) => {
    expect(said(api)).toBe(api);
  },
);

test.for([
  "",
  "nonsense",
  "10.1.2.3:8080",
  "http://10.1.2.3",
  "http://me@10.1.2.3:80",
  "http://a:80/b",
  "ftp://a:80",
  "http://a:99999",
])("%s is no address of an API", (api) => expect(said(api)).toBeUndefined());
