// Play the cells of one setting and print a line for each: the part that players for Node.js share.
// It does the same as protocol.py, whose documentation holds here too.

export const MODEL = "fake-model";
export const KEY = "none";
export const QUESTION = "Why?";
export const MESSAGES = [{ role: "user", content: QUESTION }];
const LONG = 60_000;
const TRIES = 3;

const now = () => Number(process.hrtime.bigint()) / 1e9;
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

class Cell {
  constructor(given) {
    Object.assign(this, given);
    this.baseURL = `${this.root}/v1`;
    this.milliseconds = this.timeout * 1000;
  }

  /** Return the framework's own time-out in milliseconds: short if that setting is under test. */
  natural(setting = "timeout") {
    return this.setting === setting ? this.milliseconds : LONG;
  }
}

async function command(cell, path, method = "GET", body = undefined) {
  const headers = { "content-type": "text/plain" };
  return (await fetch(cell.root + path, { method, body, headers })).json();
}

function chain(error) {
  const names = [];
  for (let each = error; each !== undefined && each !== null; each = each.cause) {
    const own = each.constructor?.name ?? "Error"; // many SDKs leave `name` as it was
    names.push(each.name === undefined || each.name === "Error" ? own : each.name);
    if (names.length > 8) break;
  }
  return names;
}

async function consume(ask, note, pause) {
  for await (const _ of await ask()) {
    note.chunks += 1;
    if (note.chunks === 1 && pause) await sleep(pause);
  }
}

async function warmUp(ask) {
  for (let left = TRIES - 1; left >= 0; left -= 1) {
    try {
      return await consume(ask, { chunks: 0 }, 0);
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

async function run(ask, note, pause) {
  note.started = now();
  try {
    await consume(ask, note, pause);
  } catch (error) {
    note.chain = chain(error);
  }
  note.ended = now();
}

async function isFree(cell) {
  const { requests } = await command(cell, "/ledger");
  return requests.every((each) => (each.slot_freed ?? each.over) !== null);
}

/** Play the cells that the command line names, side by side, and end the process. */
export async function play(prepare) {
  process.on("unhandledRejection", () => {}); // some SDKs leave a promise behind for each stream
  const given = JSON.parse(process.argv[2]);
  const notes = [];
  for (const each of given.cells) {
    const cell = new Cell(each);
    const note = { cell, scenario: cell.scenario, started: null, ended: null, chain: [] };
    Object.assign(note, { ours: false, chunks: 0, unplayed: "", left: null });
    notes.push(note);
    try {
      note.ask = await prepare(cell);
      await warmUp(note.ask);
      await command(cell, "/ledger", "DELETE");
      await command(cell, "/scenario", "PUT", cell.plays);
    } catch (error) {
      note.unplayed = String(error).replace(/\s+/g, " ").slice(0, 200);
    }
  }
  for (const note of notes) {
    if (!note.unplayed) run(note.ask, note, note.scenario === "suspended" ? given.pause : 0);
  }
  const end = now() + given.watch;
  while (now() < end) {
    await sleep(0.1);
    const over = notes.filter((each) => each.unplayed || each.ended !== null);
    if (over.length < notes.length) continue;
    const free = await Promise.all(over.map((each) => each.unplayed !== "" || isFree(each.cell)));
    if (free.every(Boolean)) break;
  }
  const left = now();
  const lines = notes.map(({ cell, ask, ...said }) => `\n@cell ${JSON.stringify({ ...said, left })}\n`);
  process.stdout.write(lines.join(""), () => process.exit(0));
}
