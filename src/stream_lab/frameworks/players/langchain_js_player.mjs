// LangChain.js: a stream of `ChatOpenAI`.
import { ChatOpenAI } from "@langchain/openai";
import { KEY, MODEL, QUESTION, play } from "./protocol.mjs";

await play((cell) => {
  const model = new ChatOpenAI({
    model: MODEL,
    apiKey: KEY,
    timeout: cell.natural(),
    configuration: { baseURL: cell.baseURL },
  });
  const options = cell.setting === "call" ? { timeout: cell.milliseconds } : {};
  return () => model.stream(QUESTION, options);
});
