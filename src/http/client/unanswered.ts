import { FssyncError } from "../../model/errors.ts";

const NOBODY = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Why there is no answer: nobody was reached, somebody else was, or whoever was reached went away. */
export function unanswered(server: string, error: unknown): FssyncError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const text = message === "" ? code : message;
  const untrusted = /CERT|SIGNATURE|ISSUER/.test(code);
  if (untrusted) {
    const next = "name those that it is signed by with --ca-file";
    return new FssyncError("NoController", `${server} shows a certificate that is not trusted here: ${text}; ${next}`, {
      cause: error,
    });
  }
  const nobody = NOBODY.has(code);
  return new FssyncError(
    nobody ? "NoController" : "ControllerLost",
    `${nobody ? "nobody answers at" : "asked"} ${server}: ${text}`,
    { cause: error },
  );
}
