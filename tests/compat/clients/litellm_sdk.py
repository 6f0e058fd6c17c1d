"""litellm as a client."""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from said import QUESTION, TOOLS, report

hi = [{"role": "user", "content": QUESTION}]


def ask(model: str, messages: list, **more: object):
    given = {"api_base": sys.argv[1], "api_key": "any", "num_retries": 0, "max_retries": 0}
    return litellm.completion(model=f"openai/{model}", messages=messages, **given, **more)


pieces = [chunk.choices[0].delta.content or "" for chunk in ask("say", hi, stream=True)]
asked = ask("tools", hi, tools=TOOLS).choices[0].message
answer = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "sunny"}
told = ask("tools", [*hi, asked.model_dump(exclude_none=True), answer], tools=TOOLS)
try:
    ask("limited", hi)
    limited = None
except litellm.RateLimitError as error:
    limited = error.response.headers.get("retry-after") or error.litellm_response_headers["retry-after"]
report(
    text=ask("say", hi).choices[0].message.content,
    streamed="".join(pieces),
    tool=told.choices[0].message.content,
    limited=limited,
)
