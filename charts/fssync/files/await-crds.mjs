import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

// Ends when the API server tells of ConfigRepos, which is what Helm asks it for; the Job has a deadline.
const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, TOKEN_FILE: tokenFile } = process.env;
const url = `https://${host.includes(":") ? `[${host}]` : host}:${port}/apis/fssync.dev/v1alpha1`;
const headers = { authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` };
for (;;) {
  try {
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(5000) });
    const body = await answer.text();
    if (answer.ok && JSON.parse(body).resources.some(({ name }) => name === "configrepos")) break;
    console.log(`no ConfigRepos yet: ${answer.status}`);
  } catch (error) {
    console.log(`no answer: ${error.cause?.message ?? error.message}`);
  }
  await sleep(500);
}
// Where there are several API servers, the others follow within this time.
await sleep(2000);
