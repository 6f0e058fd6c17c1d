"""langchain-openai."""

import sys

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from said import QUESTION, TOOLS, report


def model(name: str) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=sys.argv[1], api_key="any", max_retries=0)


hi = HumanMessage(QUESTION)
streamed = "".join(str(chunk.content) for chunk in model("say").stream([hi]))
tools = model("tools").bind_tools(TOOLS)
asked = tools.invoke([hi])
told = tools.invoke([hi, asked, ToolMessage("sunny", tool_call_id=asked.tool_calls[0]["id"])])
structured = model("json").with_structured_output(
    {"title": "verdict", "type": "object", "properties": {}}, method="json_mode"
)
try:
    model("limited").invoke([hi])
    limited = None
except openai.RateLimitError as error:
    limited = error.response.headers["retry-after"]
report(
    text=model("say").invoke([hi]).content,
    streamed=streamed,
    tool=told.content,
    limited=limited,
    structured=structured.invoke([hi]),
)
