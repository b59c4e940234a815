/** OpenSSH refuses a private key without its last newline. */
const KEEPS_NEWLINE = new Set(["identity"]);

/** The value of one key of a Secret as everybody here wants it: editors end files with a newline, passwords do not. */
export function secretValue(key: string, text: string): string {
  if (!KEEPS_NEWLINE.has(key)) return text.replace(/\r?\n$/, "");
  return text.endsWith("\n") ? text : `${text}\n`;
}
