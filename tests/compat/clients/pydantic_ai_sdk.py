"""pydantic-ai."""

import asyncio
import sys

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from said import QUESTION, report


async def main() -> None:
    client = AsyncOpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)

    def agent(name: str) -> Agent:
        return Agent(OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client)))

    whole = await agent("say").run(QUESTION)
    async with agent("say").run_stream(QUESTION) as stream:
        streamed = await stream.get_output()
    asking = agent("tools")

    @asking.tool_plain
    def weather(city: str) -> str:
        """Weather of a city."""
        return "sunny"

    told = await asking.run(QUESTION)
    try:
        await agent("limited").run(QUESTION)
        limited = None
    except ModelHTTPError as error:
        limited = str(error.__cause__.response.headers["retry-after"])
    report(text=whole.output, streamed=streamed, tool=told.output, limited=limited)


asyncio.run(main())
