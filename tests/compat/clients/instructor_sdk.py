"""instructor: a typed answer through the openai SDK."""

import sys

import instructor
import openai
from pydantic import BaseModel
from said import QUESTION, report


class Verdict(BaseModel):
    answer: str
    ok: bool


client = instructor.from_openai(openai.OpenAI(base_url=sys.argv[1], api_key="any"), mode=instructor.Mode.JSON)
given = {"model": "json", "response_model": Verdict, "messages": [{"role": "user", "content": QUESTION}]}
report(structured=client.chat.completions.create(**given).model_dump())
