"""What a request needs of a model, as conditions of routes call it."""

from hoosh.core.asked import ChatRequest, FilePart, ImagePart, Request, ToolResult
from hoosh.core.routing import Need


def needs_of(request: Request) -> frozenset[Need]:
    if not isinstance(request, ChatRequest):
        return frozenset()
    found: set[Need] = set()
    if request.tools or request.foreign_tools:
        found.add("tools")
    if request.response_format is not None and request.response_format.kind == "json_schema":
        found.add("json_schema")
    if request.sampling.logprobs:
        found.add("logprobs")
    if request.effort not in (None, "none") or request.thinking_tokens:
        found.add("reasoning")
    if request.n > 1:
        found.add("several_answers")
    for message in request.messages:
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            if any(isinstance(one, ImagePart) for one in inner):
                found.add("images")
            if any(isinstance(one, FilePart) for one in inner):
                found.add("files")
    return frozenset(found)
