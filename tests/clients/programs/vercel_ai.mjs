// Vercel's AI SDK, by its provider for servers that are compatible with OpenAI's.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { City, FEW, KEY, QUESTION, Traveller, play, weather } from "./protocol.mjs";

function settings({ baseURL, model, retries }) {
  const named = { name: "fake", baseURL, apiKey: KEY, supportsStructuredOutputs: true };
  return { model: createOpenAICompatible(named)(model), prompt: QUESTION, maxRetries: retries };
}

async function whole(server) {
  const { text, reasoningText } = await generateText(settings(server));
  return { text, reasoning: reasoningText };
}

async function stream(server, most = Infinity) {
  const parts = [];
  const thoughts = [];
  const errors = [];
  const controller = new AbortController();
  const { fullStream } = streamText({
    ...settings(server),
    abortSignal: controller.signal,
    timeout: { stepMs: server.timeout, chunkMs: server.timeout },
    onError: () => {},
  });
  for await (const part of fullStream) {
    if (part.type === "text-delta") parts.push(part.text);
    if (part.type === "reasoning-delta") thoughts.push(part.text);
    if (part.type === "error") errors.push(part.error);
    if (part.type === "abort" && !controller.signal.aborted) errors.push(new DOMException(part.reason, "AbortError"));
    if (parts.length >= most) controller.abort();
  }
  if (errors.length) throw errors[0];
  return { text: parts.join(""), parts: parts.length, reasoning: thoughts.join("") };
}

async function tools(server) {
  const calls = [];
  const execute = (given) => {
    calls.push(["weather", given]);
    return weather(given);
  };
  const { textStream } = streamText({
    ...settings(server),
    tools: { weather: tool({ description: "Tell the weather.", inputSchema: City, execute }) },
    stopWhen: stepCountIs(3),
  });
  let text = "";
  for await (const part of textStream) text += part;
  return { text, calls };
}

async function structured(server) {
  const { object } = await generateObject({ ...settings(server), schema: Traveller });
  return { value: object };
}

await play(["ai", "@ai-sdk/openai-compatible", "zod"], {
  streamText: {
    whole,
    stream,
    tools,
    structured,
    abort: (server) => stream(server, FEW),
  },
});
