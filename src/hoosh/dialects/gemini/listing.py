"""
Models as Gemini lists them.

Source: https://ai.google.dev/api/models (read 2026-11). Limits of tokens are left out: nobody here knows them.
"""

from collections.abc import Collection, Sequence

from hoosh.codecs.json import JSON
from hoosh.core.asked import Operation


def page(models: Sequence[tuple[str, Collection[Operation]]]) -> JSON:
    return {"models": [entry(model, operations) for model, operations in models]}


def entry(model: str, operations: Collection[Operation]) -> JSON:
    methods = ["generateContent", "streamGenerateContent", "countTokens"] if "chat" in operations else []
    if "embed" in operations:
        methods += ["embedContent", "batchEmbedContents"]
    return {
        "name": f"models/{model}",
        "displayName": model,
        "version": "001",
        "supportedGenerationMethods": methods,
    }
