"""llama-index-llms-openai-like."""

import sys

import openai
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from said import QUESTION, TOOLS, report


def model(name: str) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=sys.argv[1],
        api_key="any",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )


hi = [ChatMessage(role="user", content=QUESTION)]
streamed = "".join(reply.delta or "" for reply in model("say").stream_chat(hi))
asked = model("tools").chat(hi, tools=TOOLS).message
call = asked.additional_kwargs["tool_calls"][0]
answer = ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": call.id})
told = model("tools").chat([*hi, asked, answer], tools=TOOLS)
try:
    model("limited").chat(hi)
    limited = None
except openai.RateLimitError as error:
    limited = error.response.headers["retry-after"]
report(
    text=model("say").chat(hi).message.content,
    streamed=streamed,
    tool=told.message.content,
    limited=limited,
)
