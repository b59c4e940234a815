import { describe, expect, it } from "vitest";
import { parseRemoteUrl, redactUrls } from "../../../src/source/remote-url.ts";

const closed = { allowFileUrls: false };
const open = { allowFileUrls: true };

describe("parseRemoteUrl", () => {
  it.each([
    ["https://gitlab.example.com/ops/files.git", "https", "gitlab.example.com"],
    ["https://gitlab.example.com:8443/ops/files.git", "https", "gitlab.example.com:8443"],
    ["https://[2001:db8::1]/files.git", "https", "[2001:db8::1]"],
    ["ssh://git@gitlab.example.com:2222/ops/files.git", "ssh", "gitlab.example.com:2222"],
    ["git@gitlab.example.com:ops/files.git", "ssh", "gitlab.example.com"],
    ["git@[2001:db8::1]:ops/files.git", "ssh", "[2001:db8::1]"],
  ])("accepts %s", (text, protocol, host) => {
    expect(parseRemoteUrl(text, closed)).toEqual({ text, protocol, host });
  });

  it.each(["file:///srv/files.git", "/srv/files.git", "http://127.0.0.1:8080/x.git", "http://localhost/x.git"])(
    "accepts %s only with --allow-file-urls",
    (text) => {
      expect(parseRemoteUrl(text, open).text).toBe(text);
      expect(() => parseRemoteUrl(text, closed)).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
    },
  );

  it.each([
    "",
    "ext::sh -c id",
    "ext::sh",
    "https::https://example.com/",
    "--upload-pack=id",
    "-oProxyCommand=id@host:path",
    "ftp://example.com/x.git",
    "git://example.com/x.git",
    "http://example.com/x.git",
    "http://127.0.0.1.example.com/x.git",
    "file://host/srv/x.git",
    "ssh://-oProxyCommand=id/x.git",
    "ssh://git@-oProxyCommand=id/x.git",
    "ssh://-l@example.com/x.git",
    "ssh://example.com",
    "git@-oProxyCommand=id:x.git",
    "git@example.com:-x",
    "example.com:x.git",
    "relative/path",
    "https://example.com\\@evil.example.com/x.git",
    "https://exa mple.com/x.git",
    "https://example.com/x.git\n--upload-pack=id",
  ])("fault 16: refuses %j", (text) => {
    expect(() => parseRemoteUrl(text, open)).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
  });

  it.each([
    "https://me:hunter2@example.com/x.git",
    "ssh://me:hunter2@example.com/x.git",
    "https://hunter2@example.com/x",
  ])("fault 16: refuses credentials in %s without repeating them", (text) => {
    const refused = (() => {
      try {
        return parseRemoteUrl(text, open);
      } catch (error) {
        return error;
      }
    })();
    expect(refused).toMatchObject({ reason: "InvalidSpec", message: expect.stringContaining("example.com/x") });
    expect(String(refused)).not.toContain("hunter2");
  });
});

it("redactUrls takes users and passwords out of a line and leaves the rest", () => {
  expect(redactUrls("fatal: unable to access 'https://me:pw@example.com/a': no")).toBe(
    "fatal: unable to access 'https://example.com/a': no",
  );
  expect(redactUrls("see https://example.com/a@b")).toBe("see https://example.com/a@b");
});
