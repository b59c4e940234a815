import type { Server as HttpsServer, ServerOptions } from "node:https";
import type { HttpTelemetry } from "../ports/http-telemetry.ts";
import type { ApiServer } from "./api-server.ts";
import { HEADERS_TIMEOUT, NODE_CAPS } from "./caps.ts";
import type { Certificate, CertificateFiles } from "./certificate-files.ts";

/** What an HTTPS server is made with. */
export function httpsOptions(tls: CertificateFiles): ServerOptions {
  return { ...NODE_CAPS, handshakeTimeout: HEADERS_TIMEOUT, ...contextOf(tls.current) };
}

/** Shows each new certificate to whoever connects from then on; who is connected stays so. */
export function followCertificate(server: ApiServer, tls: CertificateFiles, telemetry: HttpTelemetry): void {
  telemetry.certificateExpires(tls.current.expires);
  let following: Disposable | undefined;
  server.addHook("onListen", (done) => {
    following = tls.follow((certificate) => {
      (server.server as unknown as HttpsServer).setSecureContext(contextOf(certificate));
      telemetry.certificateExpires(certificate.expires);
    });
    done();
  });
  server.addHook("onClose", (_, done) => {
    following?.[Symbol.dispose]();
    done();
  });
}

function contextOf({ cert, key }: Certificate) {
  return { cert, key, minVersion: "TLSv1.2" } as const;
}
