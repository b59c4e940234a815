import { describe, expect, test } from "vitest";
import type { Access } from "../../../src/ports/access.ts";
import { serve } from "./rig.ts";

const ACCESS: Access = {
  authenticate: async (token) => (token.startsWith("of-") ? { name: token } : undefined),
  may: async () => true,
};
const NEEDS = { verb: "update", resource: "confighosts" } as const;

describe("limits on what costs something", () => {
  test("are one for all routes of a class, and each caller has their own", async () => {
    await using served = await serve(
      (server) => {
        server.post("/one", { config: { needs: NEEDS, rate: "costly" } }, () => ({}));
        server.get("/two", { config: { needs: NEEDS, rate: "costly" } }, () => ({}));
        server.get("/cheap", { config: { needs: NEEDS } }, () => ({}));
        server.get("/at-times", { config: { needs: NEEDS } }, async (request) => {
          await server.takeTurn(request, "costly");
          return {};
        });
      },
      { access: ACCESS },
    );
    const ask = (method: string, path: string, token: string) =>
      fetch(`${served.url}${path}`, { method, headers: { authorization: `Bearer ${token}` } });
    for (let turn = 0; turn < 60; turn++) {
      expect((await ask("POST", "/one", "of-ann")).status).toBe(200);
      expect((await ask("GET", "/two", "of-ann")).status).toBe(200);
    }
    const refused = await ask("POST", "/one", "of-ann");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.headers.get("content-type")).toContain("application/problem+json");
    expect(await refused.json()).toMatchObject({ status: 429, title: "Too Many Requests" });
    expect((await ask("GET", "/at-times", "of-ann")).status).toBe(429);
    expect((await ask("GET", "/cheap", "of-ann")).status).toBe(200);
    expect((await ask("GET", "/two", "of-bob")).status).toBe(200);
  });

  test("of an address that showed 60 wrong tokens, those get in that are known here; nobody else is asked about one", async () => {
    let looks = 0;
    const authenticate = async (token: string, { asks } = { asks: true }) => {
      if (token === "of-elsewhere" && !asks) return undefined;
      if (asks) looks++;
      return await ACCESS.authenticate(token);
    };
    await using served = await serve((server) => server.get("/x", { config: { needs: NEEDS } }, () => ({})), {
      access: { ...ACCESS, authenticate },
    });
    const ask = async (token?: string) => {
      const answer = await fetch(`${served.url}/x`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
      await answer.text();
      return answer;
    };
    for (let guess = 0; guess < 60; guess++) expect((await ask(`guess-${guess}`)).status).toBe(401);
    expect(looks).toBe(60);
    for (const wrong of ["guess-60", "of-elsewhere"]) {
      const refused = await ask(wrong);
      expect(refused.status, wrong).toBe(429);
      expect(refused.headers.get("retry-after")).not.toBeNull();
    }
    expect((await ask("of-ann")).status).toBe(200);
    expect(looks).toBe(60);
    expect((await ask()).status).toBe(401);
    expect((await fetch(`${served.url}/healthz`, { headers: { authorization: "Bearer x" } })).status).toBe(200);
  });
});
