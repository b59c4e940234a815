import { afterEach, expect, test, vi } from "vitest";
import { apiOf } from "../../../src/cli/api-access.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each([
  [":8080", "http://127.0.0.1:8080", "10.1.2.3", "http://10.1.2.3:8080"],
  ["0.0.0.0:0", "http://127.0.0.1:40000", "10.1.2.3", "http://10.1.2.3:40000"],
  ["[::]:8080", "https://[::1]:8080", "fd00::1:2", "https://[fd00::1:2]:8080"],
  [":8080", "http://127.0.0.1:8080", "", undefined],
  ["10.9.8.7:8080", "http://10.9.8.7:8080", "10.1.2.3", "http://10.9.8.7:8080"],
  ["127.0.0.1:0", "http://127.0.0.1:40000", "", "http://127.0.0.1:40000"],
])("--listen %s at %s in a pod at %j is reached at %s", (listenOn, address, podIp, expected) => {
  vi.stubEnv("POD_IP", podIp);
  expect(apiOf(listenOn, address)).toBe(expected);
});
