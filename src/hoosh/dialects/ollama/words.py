"""The names of this dialect's operations, for both faces, and what it cannot say."""

GENERATE = "ollama_generate"
EMBED = "ollama_embed"
EMBED_ONE = "ollama_embeddings"
# What a request may say that this dialect has no word for.
LOSSES = frozenset(
    {
        "effort.level",
        "audio",
        "cache",
        "file.data",
        "file.id",
        "file.url",
        "image.detail",
        "image.position",
        "message.name",
        "n",
        "parallel_tools",
        "part.order",
        "reasoning.parts",
        "reasoning.redacted",
        "reasoning.signature",
        "reply.cached",
        "reply.choices",
        "reply.citations",
        "reply.content_filter",
        "reply.reasoning_tokens",
        "reply.refusal",
        "reply.signature",
        "reply.tool_signature",
        "response_format.name",
        "response_format.strict",
        "sampling.logprobs",
        "sampling.top_logprobs",
        "tool.strict",
        "tool_call.signature",
        "tool_choice.named",
        "tool_choice.required",
        "text.empty",
        "thinking_tokens",
        "tool_result.error",
        "user",
        "verbosity",
    }
)
