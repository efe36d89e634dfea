// OpenAI's SDK for Node.js: chats and responses.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { City, FEW, KEY, MESSAGES, QUESTION, Traveller, play, weather } from "./protocol.mjs";

const client = ({ baseURL, timeout, retries }) =>
  new OpenAI({ baseURL, apiKey: KEY, timeout, maxRetries: retries });

async function chat(server) {
  const given = { model: server.model, messages: MESSAGES };
  const { message } = (await client(server).chat.completions.create(given)).choices[0];
  return { text: message.content, reasoning: message.reasoning };
}

async function chatStream(server, most = Infinity) {
  const parts = [];
  const thoughts = [];
  const controller = new AbortController();
  const stream = await client(server).chat.completions.create(
    { model: server.model, messages: MESSAGES, stream: true },
    { signal: controller.signal },
  );
  for await (const chunk of stream) {
    const delta = chunk.choices[0]?.delta ?? {};
    if (delta.content) parts.push(delta.content);
    if (delta.reasoning) thoughts.push(delta.reasoning);
    if (parts.length >= most) controller.abort();
  }
  return { text: parts.join(""), parts: parts.length, reasoning: thoughts.join("") };
}

async function runTools(server) {
  const calls = [];
  const runner = client(server).chat.completions.runTools({
    model: server.model,
    messages: MESSAGES,
    stream: true,
    tools: [
      zodFunction({
        name: "weather",
        description: "Tell the weather.",
        parameters: City,
        function: (given) => {
          calls.push(["weather", given]);
          return weather(given);
        },
      }),
    ],
  });
  return { text: await runner.finalContent(), calls };
}

async function parse(server) {
  const done = await client(server).chat.completions.parse({
    model: server.model,
    messages: MESSAGES,
    response_format: zodResponseFormat(Traveller, "traveller"),
  });
  return { value: done.choices[0].message.parsed };
}

async function respondStream(server, most = Infinity) {
  const parts = [];
  const thoughts = [];
  const controller = new AbortController();
  const events = await client(server).responses.create(
    { model: server.model, input: QUESTION, stream: true },
    { signal: controller.signal },
  );
  for await (const event of events) {
    if (event.type === "response.output_text.delta") parts.push(event.delta);
    if (event.type === "response.reasoning_text.delta") thoughts.push(event.delta);
    if (parts.length >= most) controller.abort();
  }
  return { text: parts.join(""), parts: parts.length, reasoning: thoughts.join("") };
}

async function respond(server) {
  const given = { model: server.model, input: QUESTION };
  return { text: (await client(server).responses.create(given)).output_text };
}

async function respondTools(server) {
  const tool = {
    type: "function",
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  };
  const given = { model: server.model, tools: [tool] };
  const asked = await client(server).responses.create({ ...given, input: QUESTION });
  const calls = asked.output.filter((item) => item.type === "function_call");
  const results = calls.map((call) => ({
    type: "function_call_output",
    call_id: call.call_id,
    output: weather(JSON.parse(call.arguments)),
  }));
  const input = [...MESSAGES, ...asked.output, ...results];
  const said = await client(server).responses.create({ ...given, input });
  return { text: said.output_text, calls: calls.map((call) => [call.name, JSON.parse(call.arguments)]) };
}

async function respondParse(server) {
  const done = await client(server).responses.parse({
    model: server.model,
    input: QUESTION,
    text: { format: zodTextFormat(Traveller, "traveller") },
  });
  return { value: done.output_parsed };
}

await play(["openai", "zod"], {
  chat: {
    whole: chat,
    stream: chatStream,
    tools: runTools,
    structured: parse,
    abort: (server) => chatStream(server, FEW),
  },
  responses: {
    whole: respond,
    stream: respondStream,
    tools: respondTools,
    structured: respondParse,
    abort: (server) => respondStream(server, FEW),
  },
});
