"""What the clients have in common: the tool that they offer, and how they tell what they were told."""

import json

QUESTION = "What is the capital of France?"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def report(**said: object) -> None:
    print(json.dumps(said))
