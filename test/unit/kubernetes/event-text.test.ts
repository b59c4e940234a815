import { describe, expect, it } from "vitest";
import { eventMessage, eventName } from "../../../src/kubernetes/event-text.ts";

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

describe("the message of an event", () => {
  it.each([
    ["main@sha1:abc", "main@sha1:abc"],
    ["two\nlines\ttab", "two\\x0alines\\x09tab"],
    ["\u001b[31mred\u009b", "\\x1b[31mred\\x9b"],
    ["a\u2028b", "a\\u2028b"],
    ["ünï 日本 🙂", "ünï 日本 🙂"],
    ["half \ud83d", "half \ufffd"],
  ])("%j is shown as %j", (text, shown) => {
    expect(eventMessage(text)).toBe(shown);
  });

  it.each(["a", "é", "日", "🙂", "\u0000"])("made of %j is cut to 1,024 bytes, not inside a character", (character) => {
    for (const before of ["", "x", "xx", "xxx"]) {
      const message = eventMessage(before + character.repeat(2000));
      const bytes = Buffer.byteLength(message);
      expect(bytes).toBeLessThanOrEqual(1024);
      expect(bytes).toBeGreaterThan(1024 - 4);
      expect(message).toMatch(/…$/);
      expect(message).not.toContain("\ufffd");
      expect(message.isWellFormed()).toBe(true);
    }
  });

  it("of 1,024 bytes is left as it is", () => {
    expect(eventMessage("é".repeat(512))).toBe("é".repeat(512));
  });
});

describe("the name of an event", () => {
  it("begins with the object's", () => {
    expect(eventName("files.10.0.0.1")).toMatch(/^files\.10\.0\.0\.1\.[0-9a-f]{16}$/);
  });

  it.each([
    "a".repeat(253),
    `${"a".repeat(226)}.${"b".repeat(26)}`,
    `${"a".repeat(227)}-${"b".repeat(25)}`,
    "a.".repeat(126) + "a",
  ])("is legal for the object %s", (object) => {
    const name = eventName(object);
    expect(name).toMatch(SUBDOMAIN);
    expect(name.length).toBeLessThanOrEqual(253);
  });

  it("is another one each time", () => {
    expect(new Set(Array.from({ length: 1000 }, () => eventName("a"))).size).toBe(1000);
  });
});
