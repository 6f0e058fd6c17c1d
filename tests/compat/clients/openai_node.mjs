// The openai SDK for Node.
import OpenAI from "openai";
import { QUESTION, TOOLS, report } from "./said.mjs";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const hi = [{ role: "user", content: QUESTION }];
const ask = (model, messages, more = {}) => client.chat.completions.create({ model, messages, ...more });

let streamed = "";
for await (const chunk of await ask("say", hi, { stream: true })) streamed += chunk.choices[0]?.delta.content ?? "";
const asked = (await ask("tools", hi, { tools: TOOLS })).choices[0].message;
const answer = { role: "tool", tool_call_id: asked.tool_calls[0].id, content: "sunny" };
const told = await ask("tools", [...hi, asked, answer], { tools: TOOLS });
let limited = null;
try {
  await ask("limited", hi);
} catch (error) {
  if (!(error instanceof OpenAI.RateLimitError)) throw error;
  limited = error.headers.get("retry-after");
}
const whole = await ask("say", hi);
report({
  text: whole.choices[0].message.content,
  streamed,
  tool: told.choices[0].message.content,
  limited,
});
