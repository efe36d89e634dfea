// Play the cases that standard input names, and print a line of JSON for each: the part that the
// programs for Node.js share. It does the same as protocol.py, whose documentation holds here too.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";

export const KEY = "none";
export const QUESTION = "What is the weather in Paris?";
export const MESSAGES = [{ role: "user", content: QUESTION }];
export const FEW = 3;
const SHORT = 500; // milliseconds, as below
const LONG = 30_000;

export const Traveller = z.object({
  name: z.string().regex(/^[A-Z][a-z]{2,7}$/),
  age: z.number().int().min(18).max(99),
});
export const City = z.object({ city: z.string() });
export const weather = ({ city }) => `sunny in ${city}`;

// The kinds whose function a program uses for one that it does not name.
const INSTEAD = {
  reasoning: ["stream"],
  retry: ["whole", "stream"],
  cut: ["stream"],
  timeout: ["stream"],
  silence: ["stream"],
};

class Server {
  constructor({ base_url, model, kind }) {
    Object.assign(this, { baseURL: base_url, model, kind });
    this.timeout = ["timeout", "silence"].includes(kind) ? SHORT : LONG;
    this.retries = kind === "retry" ? 2 : 0;
  }
}

const say = (value) => process.stdout.write(`\n@result ${JSON.stringify(value)}\n`);
const sleep = (time) => new Promise((done) => setTimeout(done, time).unref());

function versionOf(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf-8")).version;
}

function described(error) {
  const own = error?.constructor?.name ?? "Error"; // many SDKs leave `name` as it was
  const name = error?.name === undefined || error.name === "Error" ? own : error.name;
  return { name, text: String(error?.message ?? error).replace(/\s+/g, " ").slice(0, 300) };
}

async function late() {
  await sleep(LONG);
  throw new Error("The client did not come to an end.");
}

/** Print the versions of the packages, and then a result for each case of the input. */
export async function play(packages, ways) {
  process.on("unhandledRejection", () => {}); // some SDKs leave a promise behind for each stream
  say(Object.fromEntries(packages.map((name) => [name, versionOf(name)])));
  for await (const line of createInterface({ input: process.stdin })) {
    const given = JSON.parse(line);
    try {
      const way = ways[given.way];
      const kind = [given.kind, ...(INSTEAD[given.kind] ?? [])].find((each) => each in way);
      say(await Promise.race([way[kind](new Server(given)), late()]));
    } catch (error) {
      say({ error: described(error) });
    }
  }
  process.exit(0);
}
