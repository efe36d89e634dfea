// LangChain.js: `ChatOpenAI`.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { City, FEW, KEY, QUESTION, Traveller, play, weather } from "./protocol.mjs";

const model = ({ model, baseURL, timeout, retries }) =>
  new ChatOpenAI({ model, apiKey: KEY, timeout, maxRetries: retries, configuration: { baseURL } });

const thoughtsOf = (message) => message.additional_kwargs.reasoning_content ?? "";

async function whole(server) {
  const message = await model(server).invoke(QUESTION);
  return { text: message.text, reasoning: thoughtsOf(message) };
}

async function stream(server, most = Infinity) {
  const parts = [];
  const thoughts = [];
  const controller = new AbortController();
  const chunks = await model(server).stream(QUESTION, { signal: controller.signal });
  for await (const chunk of chunks) {
    if (chunk.text) parts.push(chunk.text);
    thoughts.push(thoughtsOf(chunk));
    if (parts.length >= most) {
      controller.abort();
      break;
    }
  }
  return { text: parts.join(""), parts: parts.length, reasoning: thoughts.join("") };
}

async function tools(server) {
  const given = { name: "weather", description: "Tell the weather.", schema: City };
  const bound = model(server).bindTools([tool(weather, given)]);
  const asked = await bound.invoke(QUESTION);
  const results = asked.tool_calls.map(
    (call) => new ToolMessage({ content: weather(call.args), tool_call_id: call.id }),
  );
  const said = await bound.invoke([new HumanMessage(QUESTION), asked, ...results]);
  return { text: said.text, calls: asked.tool_calls.map((call) => [call.name, call.args]) };
}

async function structured(server) {
  const bound = model(server).withStructuredOutput(Traveller, { method: "jsonSchema" });
  return { value: await bound.invoke(QUESTION) };
}

await play(["@langchain/openai", "@langchain/core", "openai", "zod"], {
  ChatOpenAI: {
    whole,
    stream,
    tools,
    structured,
    abort: (server) => stream(server, FEW),
  },
});
