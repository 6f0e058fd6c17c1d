"""The mistralai SDK."""

import sys

from mistralai.client import Mistral
from mistralai.client.errors import MistralError
from said import QUESTION, TOOLS, report

hi = [{"role": "user", "content": QUESTION}]
with Mistral(api_key="any", server_url=sys.argv[1].removesuffix("/v1")) as client:
    whole = client.chat.complete(model="say", messages=hi)
    with client.chat.stream(model="say", messages=hi) as stream:
        pieces = [event.data.choices[0].delta.content or "" for event in stream if event.data.choices]
    asked = client.chat.complete(model="tools", messages=hi, tools=TOOLS)
    message = asked.choices[0].message
    call = message.tool_calls[0]
    answer = {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": "sunny"}
    told = client.chat.complete(model="tools", messages=[*hi, message, answer], tools=TOOLS)
    try:
        client.chat.complete(model="limited", messages=hi)
        limited = None
    except MistralError as error:
        limited = error.headers["retry-after"]
report(
    text=whole.choices[0].message.content,
    streamed="".join(pieces),
    tool=told.choices[0].message.content,
    limited=limited,
)
