"""The groq SDK, which asks /openai/v1/chat/completions."""

import sys

import groq
from said import QUESTION, TOOLS, report

client = groq.Groq(base_url=sys.argv[1].removesuffix("/v1"), api_key="any", max_retries=0)
ask = client.chat.completions.create
hi = [{"role": "user", "content": QUESTION}]
pieces = [chunk.choices[0].delta.content or "" for chunk in ask(model="say", messages=hi, stream=True) if chunk.choices]
asked = ask(model="tools", messages=hi, tools=TOOLS).choices[0].message
answer = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "sunny"}
told = ask(model="tools", messages=[*hi, asked.model_dump(exclude_none=True), answer], tools=TOOLS)
try:
    ask(model="limited", messages=hi)
    limited = None
except groq.RateLimitError as error:
    limited = error.response.headers["retry-after"]
report(
    text=ask(model="say", messages=hi).choices[0].message.content,
    streamed="".join(pieces),
    tool=told.choices[0].message.content,
    limited=limited,
)
