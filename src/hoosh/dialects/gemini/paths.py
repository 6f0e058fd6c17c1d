"""Addresses of the methods beside generateContent."""

from urllib.parse import quote


def bare(model: str) -> str:
    return model.removeprefix("models/")


def resource(model: str) -> str:
    return f"models/{bare(model)}"


def path(model: str, method: str) -> str:
    return f"/v1beta/models/{quote(bare(model), safe='')}:{method}"
