// OpenAI's SDK for Node.js: a stream of a chat.
import OpenAI from "openai";
import { KEY, MESSAGES, MODEL, play } from "./protocol.mjs";

await play((cell) => {
  const client = new OpenAI({ baseURL: cell.baseURL, apiKey: KEY, timeout: cell.natural() });
  const whole = () => (cell.setting === "signal" ? AbortSignal.timeout(cell.milliseconds) : undefined);
  return () =>
    client.chat.completions.create(
      { model: MODEL, messages: MESSAGES, stream: true },
      { signal: whole() },
    );
});
