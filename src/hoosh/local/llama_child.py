"""The engine's own process: `python -m hoosh.local.llama_child`, llama.cpp behind HTTP on a free loopback port.

    in    one line of JSON, `Launch`; then nothing until the end of the gateway, however it ends
    out   one line of JSON, `Ready`, once the model is loaded; then nothing
    err   the engine's log

Law: it lives no longer than the one who holds its standard input. The key comes by the same way, so that it stands
neither in the arguments nor in the environment, where others could read it.
Source: xllamacpp 2026.10, tried on 2026-11-23.
"""

import os
import sys
import threading

import msgspec

from hoosh.local.cpu_quota import usable_cpus
from hoosh.local.known import Purpose

# llama.cpp would keep prompts of the past in up to 8 GiB of memory.
PROMPT_CACHE_MIB = 256
# Of a call that does not say how many it wants. A small model that loses the thread does not stop by itself.
OUTPUT_TOKENS = 1024
WARNINGS = 2


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """`context_tokens` is one call's, `parallel` how many calls run at once. `threads` 0: what the CPU quota allows."""

    model_path: str
    alias: str
    api_key: str
    context_tokens: int
    parallel: int
    threads: int
    chat_template: str = ""
    temperature: float | None = None
    purpose: Purpose = "chat"


class Ready(msgspec.Struct, frozen=True):
    base_url: str


def main() -> None:
    # What the C++ code prints on standard output must not end up between our lines.
    answers = os.dup(1)
    os.dup2(2, 1)
    launch = msgspec.json.decode(sys.stdin.buffer.readline(), type=Launch)
    threading.Thread(target=_end_with_gateway, daemon=True).start()
    # Held until the end of the process: the server stops with it.
    try:
        base_url, _server = _serve(launch)
    # What llama.cpp has to say about it stands in its log already.
    except (ImportError, RuntimeError) as error:
        sys.exit(str(error))
    os.write(answers, msgspec.json.encode(Ready(base_url)) + b"\n")
    os.close(answers)
    threading.Event().wait()


def _end_with_gateway() -> None:
    # Past the buffer: a thread that holds its lock aborts the interpreter when that ends.
    while os.read(0, 1024):
        pass
    # At once: there is nothing to save, and an orderly end would first finish what is being generated for nobody.
    os._exit(0)


def _serve(launch: Launch) -> tuple[str, object]:
    import xllamacpp  # noqa: PLC0415  106 MB that only this process may carry

    params = xllamacpp.CommonParams()
    params.model.path = launch.model_path
    # Else it answers with the file's path as the model's name.
    params.model_alias = {launch.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [launch.api_key]
    params.ui = False
    params.endpoint_slots = False
    params.n_parallel = launch.parallel
    # llama.cpp divides it among the slots.
    params.n_ctx = launch.context_tokens * launch.parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = launch.threads or usable_cpus()
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.verbosity = WARNINGS
    params.n_predict = min(OUTPUT_TOKENS, launch.context_tokens)
    if launch.purpose == "embed":
        params.embedding = True
        # An encoder sees the whole text at once, or not at all.
        params.n_batch = params.n_ubatch = launch.context_tokens
    if launch.chat_template:
        params.chat_template = launch.chat_template
    if launch.temperature is not None:
        params.sampling.temp = launch.temperature
    server = xllamacpp.Server(params)
    return f"{server.listening_address}/v1", server


if __name__ == "__main__":
    main()
