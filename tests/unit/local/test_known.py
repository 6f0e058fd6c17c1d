"""The table of models: each row can be looked up, stored and checked."""

import re

from hoosh.local.known import KNOWN, known
from hoosh.local.store import NAME


def test_every_name_and_alias_leads_to_one_row() -> None:
    names = [name for model in KNOWN for name in (model.name, *model.aliases)]
    assert len(set(names)) == len(names)
    assert [known(name) for model in KNOWN for name in (model.name, *model.aliases)] == [
        model for model in KNOWN for _ in (model.name, *model.aliases)
    ]
    assert known("no-such-model") is None


def test_every_row_can_be_stored_and_checked() -> None:
    for model in KNOWN:
        assert NAME.fullmatch(model.name)
        assert re.fullmatch("[0-9a-f]{64}", model.wheel_sha256)
        assert re.fullmatch("[0-9a-f]{64}", model.file_sha256)
        assert min(model.wheel_bytes, model.file_bytes) > 1_000_000
        assert model.wheel.startswith(model.distribution.replace("-", "_") + "-")
