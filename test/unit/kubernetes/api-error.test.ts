import { ApiException } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import {
  ApiError,
  apiError,
  isConflict,
  isForbidden,
  isGone,
  isNotFound,
  isTransient,
} from "../../../src/kubernetes/api-error.ts";
import { refused, unanswered, type ApiAnswer } from "../../../src/kubernetes/api-error.ts";

const asked = { method: "PATCH", path: "/apis/fssync.dev/v1alpha1/namespaces/ops/confighosts/a/status" };

function status(code: number, message: string, more: object = {}): ApiAnswer {
  return { status: code, headers: {}, body: JSON.stringify({ kind: "Status", code, message, ...more }) };
}

describe("an answer that is no success", () => {
  test.each([
    {
      title: "a missing rule for a ServiceAccount",
      answer: status(
        403,
        'confighosts.fssync.dev "a" is forbidden: User "system:serviceaccount:ops:fssync" cannot patch resource "confighosts/status" in API group "fssync.dev" in the namespace "ops"',
      ),
      reason: "KubernetesForbidden",
      said: "403: ServiceAccount ops/fssync may not patch confighosts/status.fssync.dev in namespace ops; add the verb to its Role",
    },
    {
      title: "a missing rule in the whole cluster, for a user, of the core group",
      answer: status(
        403,
        'secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" at the cluster scope',
      ),
      reason: "KubernetesForbidden",
      said: "403: jane may not list secrets in the whole cluster (a ClusterRole); add the verb to its Role",
    },
    {
      title: "a refusal for another cause",
      answer: status(403, 'namespace "ops" is being terminated'),
      reason: "KubernetesForbidden",
      said: '403: namespace "ops" is being terminated',
    },
    {
      title: "a token that is not valid",
      answer: status(401, "Unauthorized"),
      reason: "KubernetesUnauthorized",
      said: "401: the API server does not know this ServiceAccount or user; its token is not valid",
    },
    {
      title: "missing CRDs",
      answer: { status: 404, headers: {}, body: "404 page not found\n" },
      reason: "CrdMissing",
      said: "404: the cluster does not know the custom resources of fssync.dev; install the CRDs",
    },
    {
      title: "a missing object",
      answer: status(404, 'confighosts.fssync.dev "a" not found'),
      reason: "Internal",
      said: '404: confighosts.fssync.dev "a" not found',
    },
    {
      title: "a page of a proxy in front",
      answer: { status: 502, headers: {}, body: `<html>${"x".repeat(500)}\nmore</html>` },
      reason: "KubernetesUnavailable",
      said: `502: <html>${"x".repeat(294)}`,
    },
    {
      title: "nothing at all",
      answer: { status: 503, headers: {}, body: "" },
      reason: "KubernetesUnavailable",
      said: "503",
    },
  ])("tells $title", ({ answer, reason, said }) => {
    const error = refused(answer, asked);
    expect(error).toMatchObject({ status: answer.status, reason, retryAfter: null });
    expect(error.message).toBe(`${asked.method} ${asked.path}: ${said}`);
  });

  test("tells how long to wait, by its header or its Status", () => {
    const busy = status(429, "too many requests", { details: { retryAfterSeconds: 3 } });
    expect(refused(busy).retryAfter).toBe(3000);
    expect(refused({ ...busy, headers: { "retry-after": "7" } }).retryAfter).toBe(7000);
    expect(refused({ ...busy, headers: { "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" } }).retryAfter).toBe(null);
  });

  test("is of one kind", () => {
    const kinds = [isNotFound, isConflict, isGone, isForbidden, isTransient];
    const kindsOf = (code: number) => kinds.filter((is) => is(refused(status(code, "")))).map(({ name }) => name);
    expect(Object.fromEntries([401, 403, 404, 409, 410, 422, 429, 500].map((code) => [code, kindsOf(code)]))).toEqual({
      401: ["isForbidden"],
      403: ["isForbidden"],
      404: ["isNotFound"],
      409: ["isConflict"],
      410: ["isGone"],
      422: [],
      429: ["isTransient"],
      500: ["isTransient"],
    });
  });
});

describe("whatever was thrown", () => {
  test("stays what it is when it is one already", () => {
    const error = new ApiError("Internal", "x", { status: 409, retryAfter: null });
    expect(apiError(error)).toBe(error);
  });

  test("an exception of the generated clients, its body parsed or not", () => {
    const body = { kind: "Status", message: "the object has been modified" };
    for (const given of [body, JSON.stringify(body)]) {
      const error = apiError(new ApiException(409, "Unknown API Status Code!", given, {}));
      expect(error).toMatchObject({ status: 409, message: "409: the object has been modified" });
    }
  });

  test("no answer says all causes once, on one line", () => {
    const socket = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
    const error = unanswered(new TypeError("fetch failed", { cause: new AggregateError([socket, socket]) }), asked);
    expect(error.status).toBe(0);
    expect(error.message).toBe(
      `PATCH ${asked.path}: fetch failed: ${Array(2).fill(`Error: ${socket.message}`).join(", ")}`,
    );
    expect(apiError("odd")).toMatchObject({ status: 0, reason: "KubernetesUnavailable", message: "odd" });
  });

  test("only an abort by its caller is an interruption", () => {
    const late = new DOMException("The operation was aborted due to timeout", "TimeoutError");
    expect(unanswered(late)).toMatchObject({
      reason: "KubernetesUnavailable",
      message: "no answer within the time limit",
    });
    expect(unanswered(new DOMException("", "AbortError")).reason).toBe("Interrupted");
    expect(unanswered(new Error("told to stop"), asked, AbortSignal.abort()).reason).toBe("Interrupted");
  });
});
