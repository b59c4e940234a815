import { z } from "zod";
import { FssyncError, REASONS, type Reason } from "../../model/errors.ts";

/** What is looked at of problem details; a newer controller may say more. */
const Refused = z.object({
  title: z.string().optional(),
  detail: z.string().optional(),
  reason: z.string().optional(),
});

/**
 * Why a controller did not do what it was asked, by its answer: problem details, or whatever a proxy between says.
 * `retryAfter` is the header of that name.
 */
export function refusal(server: string, status: number, answer: unknown, retryAfter?: string): FssyncError {
  const { data } = Refused.safeParse(answer);
  const said = data?.detail ?? data?.title;
  if (status === 429) {
    const when = /^\d{1,6}$/.test(retryAfter ?? "") ? `; ask again in ${retryAfter}s` : "";
    return new FssyncError("TooManyRequests", `${server}: ${said ?? "too many requests"}${when}`);
  }
  if (said === undefined) {
    const text = `${server} answered ${status}, and not as fssync's API does; look whether the URL is right`;
    return new FssyncError(reasonOf(status), text);
  }
  return new FssyncError(reasonNamed(data?.reason, reasonOf(status)), `${server}: ${said}`);
}

/** A newer controller may have reasons that are not known here. */
export function reasonNamed(text: string | undefined, otherwise: Reason): Reason {
  return text !== undefined && Object.hasOwn(REASONS, text) ? (text as Reason) : otherwise;
}

function reasonOf(status: number): Reason {
  if (status === 401 || status === 403) return "Unauthorized";
  if (status === 404) return "UnknownName";
  const ours = status >= 400 && status < 500 && status !== 408;
  return ours ? "Internal" : "ControllerLost";
}
