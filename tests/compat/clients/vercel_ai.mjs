// Vercel's ai SDK over its provider for OpenAI-compatible servers.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { QUESTION, report } from "./said.mjs";

const hoosh = createOpenAICompatible({ name: "hoosh", baseURL: process.argv[2], apiKey: "any", includeUsage: true });
const ask = (model, more = {}) => generateText({ model: hoosh(model), prompt: QUESTION, maxRetries: 0, ...more });

const weather = tool({
  description: "Weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => "sunny",
});
let streamed = "";
for await (const piece of streamText({ model: hoosh("say"), prompt: QUESTION }).textStream) streamed += piece;
const told = await ask("tools", { tools: { weather }, stopWhen: stepCountIs(3) });
const verdict = z.object({ answer: z.string(), ok: z.boolean() });
const structured = await ask("json", { output: Output.object({ schema: verdict }) });
let limited = null;
try {
  await ask("limited");
} catch (error) {
  if (!APICallError.isInstance(error)) throw error;
  limited = error.responseHeaders["retry-after"];
}
report({ text: (await ask("say")).text, streamed, tool: told.text, limited, structured: structured.output });
