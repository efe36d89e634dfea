// Vercel's AI SDK: the text of `streamText`.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";
import { KEY, MODEL, QUESTION, play } from "./protocol.mjs";

const LIMITS = {
  timeout: (cell) => ({ chunkMs: cell.milliseconds }),
  total: (cell) => cell.milliseconds,
};

await play((cell) => {
  const provider = createOpenAICompatible({ name: "fake", baseURL: cell.baseURL, apiKey: KEY });
  return () =>
    streamText({
      model: provider(MODEL),
      prompt: QUESTION,
      timeout: LIMITS[cell.setting](cell),
      onError: () => {},
    }).textStream;
});
