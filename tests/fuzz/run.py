"""Coverage-guided fuzzing of one target, in a process of its own: `make fuzz` runs this for each (atheris, libFuzzer).

    python run.py TARGET SECONDS CORPUS_DIRECTORY

libFuzzer ends it with an error, and leaves the input beside the corpus, where a target raises, takes longer than
TIMEOUT_S for one input, or more than MEMORY_MIB. Without TARGET the names are listed.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hoosh"]):
    from fuzz.clients import CLIENTS
    from fuzz.seeds import seeds
    from fuzz.targets import targets

TIMEOUT_S = 30
MEMORY_MIB = 1024
MAX_INPUT_BYTES = 16 << 10


def main() -> None:
    table = targets(CLIENTS)
    if len(sys.argv) == 1:
        print("\n".join(sorted(table)))
        return
    name, seconds, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    corpus = directory / name.replace(":", ".")
    corpus.mkdir(parents=True, exist_ok=True)
    for k, seed in enumerate(seeds(name)):
        (corpus / f"seed-{k}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MIB}"]
    limits += [f"-max_len={MAX_INPUT_BYTES}", f"-artifact_prefix={directory}/{name.replace(':', '.')}-", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", str(corpus)], table[name])
    atheris.Fuzz()


main()
