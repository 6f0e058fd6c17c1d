import json

from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects import one_line


@given(st.text(), st.sampled_from([None, 1]))
def test_json_stays_the_same_on_one_line(text: str, indent: int | None) -> None:
    value = {"a": text, "b": {"c": [1]}}
    line = one_line(json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace"))
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
