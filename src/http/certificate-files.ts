import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Logger } from "pino";
import { FssyncError } from "../model/errors.ts";
import { jittered, type Clock } from "../ports/clock.ts";

/** How often the files are read again, in milliseconds. */
const LOOK_EVERY = 2000;

export interface CertificateOptions {
  /** PEM: the certificate, and those between it and its authority. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** PEM texts that belong together. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/**
 * A certificate and its key in files, read again whenever their contents change: in Kubernetes they are links that
 * move. While the files do not fit together, or cannot be read, the last good pair stays in force.
 */
export class CertificateFiles {
  readonly #options: CertificateOptions;
  #current: Certificate | undefined;
  /** What was wrong at the last look, and whether it was said: files that are just being replaced are no error. */
  #trouble = { message: "", told: false };

  constructor(options: CertificateOptions) {
    this.#options = options;
  }

  /** Throws InvalidSpec with the flag and the file that are at fault. */
  async load(): Promise<void> {
    this.#current = await this.#read();
    const { clock, log } = this.#options;
    if (this.#current.expires <= clock.now()) log.warn(this.#facts(this.#current), "the TLS certificate has expired");
  }

  get current(): Certificate {
    if (!this.#current) throw new Error("the certificate is not loaded");
    return this.#current;
  }

  /** Looks at the files until it is disposed, and gives each new pair to `renewed`. */
  follow(renewed: (certificate: Certificate) => void): Disposable {
    const { clock } = this.#options;
    const over = new AbortController();
    let timer: Disposable | undefined;
    const wait = () => (timer = clock.after(jittered(clock, LOOK_EVERY), () => void look()));
    const look = async () => {
      const changed = await this.#look();
      if (over.signal.aborted) return;
      if (changed) renewed(changed);
      wait();
    };
    wait();
    return {
      [Symbol.dispose]: () => {
        over.abort();
        timer?.[Symbol.dispose]();
      },
    };
  }

  /** The new pair when there is one. It never rejects. */
  async #look(): Promise<Certificate | undefined> {
    try {
      const found = await this.#read();
      this.#trouble = { message: "", told: false };
      if (found.cert === this.current.cert && found.key === this.current.key) return undefined;
      this.#options.log.info(this.#facts(found), "TLS certificate read again");
      return (this.#current = found);
    } catch (error) {
      this.#complain(error as Error);
      return undefined;
    }
  }

  /** Once it is found a second time, and then no more. */
  #complain({ message }: Error): void {
    const again = message === this.#trouble.message;
    if (again && !this.#trouble.told)
      this.#options.log.error(
        { ...this.#facts(this.current), error: message },
        "the new TLS certificate cannot be used; the one before stays in force",
      );
    this.#trouble = { message, told: again };
  }

  #facts({ expires }: Certificate) {
    return { file: this.#options.certFile, expires: new Date(expires).toISOString() };
  }

  async #read(): Promise<Certificate> {
    const { certFile, keyFile } = this.#options;
    const [cert, key] = await Promise.all([
      readPem("--tls-cert", certFile),
      // In one breath: files that are replaced one after the other do not fit together in between.
      readPem("--tls-key", keyFile),
    ]);
    const certificate = attempt(() => new X509Certificate(cert), `--tls-cert ${certFile}: holds no certificate`);
    const privateKey = attempt(
      () => createPrivateKey(key),
      `--tls-key ${keyFile}: holds no private key without password`,
    );
    if (!certificate.checkPrivateKey(privateKey))
      throw new FssyncError("InvalidSpec", `--tls-key ${keyFile}: is not the key of the certificate in ${certFile}`);
    attempt(() => createSecureContext({ cert, key }), `--tls-cert ${certFile}: cannot be used`);
    return { cert, key, expires: certificate.validToDate.getTime() };
  }
}

/** Undefined without TLS. Throws InvalidSpec when one of two flags is missing, or what they name cannot be used. */
export async function loadCertificate(
  { tlsCert, tlsKey }: { readonly tlsCert?: string; readonly tlsKey?: string },
  around: Pick<CertificateOptions, "clock" | "log">,
): Promise<CertificateFiles | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined) throw new FssyncError("InvalidSpec", "--tls-key is given, but not --tls-cert");
  if (tlsKey === undefined) throw new FssyncError("InvalidSpec", "--tls-cert is given, but not --tls-key");
  const files = new CertificateFiles({ certFile: tlsCert, keyFile: tlsKey, ...around });
  await files.load();
  return files;
}

async function readPem(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new FssyncError("InvalidSpec", `${flag} ${file}: cannot be read: ${code ?? message}`, { cause: error });
  }
}

/** What OpenSSL says goes after what it is about. */
function attempt<T>(work: () => T, what: string): T {
  try {
    return work();
  } catch (error) {
    throw new FssyncError("InvalidSpec", `${what}: ${(error as Error).message}`, { cause: error });
  }
}
