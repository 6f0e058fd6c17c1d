"""The text of /metrics, read back by a strict reader; the table of docs/metrics.md; sums over several workers."""

import re
from pathlib import Path

import pytest

from hoosh.telemetry.families import DURATION, FAMILIES, Numbers, exposition, merged
from prometheus_text import Page

ROOT = Path(__file__).resolve().parents[3]
UGLY = 'a\\b"c\nd\\n{}=, é\t\x0b\x85 '


def test_what_a_label_says_comes_back_as_it_was() -> None:
    page = Page(exposition({"hoosh_tokens_total": {("p", UGLY, "input"): [3], ("p", "", "input"): [4]}}))
    told = {sample.labels["model"]: sample.value for sample in page.all("hoosh_tokens_total")}
    assert told == {UGLY: 3, "": 4}


def test_a_label_that_is_no_text_breaks_nothing() -> None:
    page = Page(exposition({"hoosh_provider_up": {("\ud800",): [1]}}))
    assert page.value("hoosh_provider_up", provider="?") == 1


def test_a_histogram_adds_up() -> None:
    counts = list(range(1, len(DURATION.bounds_ns) + 2))
    page = Page(exposition({DURATION.name: {("p",): [*counts, 2_500_000_000]}}))
    buckets = page.all(f"{DURATION.name}_bucket")
    assert [bucket.labels["le"] for bucket in buckets][:3] == ["0.05", "0.1", "0.25"]
    assert [bucket.value for bucket in buckets] == [sum(counts[: n + 1]) for n in range(len(counts))]
    assert page.value(f"{DURATION.name}_count") == sum(counts)
    assert page.value(f"{DURATION.name}_sum") == 2.5


def test_every_family_is_told_also_while_it_has_nothing_to_tell() -> None:
    page = Page(exposition({}))
    assert list(page.kinds) == list(page.helps) == [family.name for family in FAMILIES]
    assert page.samples == []


def test_large_counts_are_told_whole() -> None:
    text = exposition({"hoosh_cost_micro_usd_total": {("p", "m"): [(1 << 60) + 1]}})
    assert f" {(1 << 60) + 1}\n".encode() in text


@pytest.mark.parametrize(
    "text",
    [
        b"x_total 1",
        b"# TYPE x_total counter\nx_total -1\n",
        b"# TYPE x counter\nx 1\n",
        b'# TYPE x gauge\nx{a="b"c"} 1\n',
        b'# TYPE x gauge\nx{a="\\t"} 1\n',
        b"# TYPE x gauge\nx 1\nx 2\n",
        b"# TYPE x gauge\nx 1\n# TYPE y gauge\nx 2\n",
        b"# TYPE x gauge\nx 1\n# TYPE x gauge\n",
        b"# TYPE x gauge\nx one\n",
        b'# TYPE x histogram\nx_bucket{le="1"} 2\nx_bucket{le="+Inf"} 1\nx_sum 1\nx_count 1\n',
        b'# TYPE x histogram\nx_bucket{le="1"} 1\nx_sum 1\nx_count 1\n',
        b'# TYPE x histogram\nx_bucket{le="+Inf"} 1\nx_count 1\n',
    ],
)
def test_the_reader_is_strict(text: bytes) -> None:
    with pytest.raises(ValueError):
        Page(text)


def test_workers_are_added_up_and_the_worst_view_of_a_provider_counts() -> None:
    one: Numbers = {
        "hoosh_in_flight": {(): [2]},
        "hoosh_provider_up": {("p",): [1]},
        DURATION.name: {("p",): [*([1] * 15), 7]},
        "hoosh_event_loop_lag_seconds": {("0",): [0.25]},
    }
    two: Numbers = {
        "hoosh_in_flight": {(): [3]},
        "hoosh_provider_up": {("p",): [0], ("q",): [1]},
        DURATION.name: {("p",): [*([2] * 15), 9]},
        "hoosh_event_loop_lag_seconds": {("1",): [0.5]},
    }
    assert merged((one, two)) == {
        "hoosh_in_flight": {(): [5]},
        "hoosh_provider_up": {("p",): [0], ("q",): [1]},
        DURATION.name: {("p",): [*([3] * 15), 16]},
        "hoosh_event_loop_lag_seconds": {("0",): [0.25], ("1",): [0.5]},
    }
    assert one["hoosh_in_flight"] == {(): [2]}  # what was given is as it was


def test_the_document_has_each_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(hoosh_\w+)` \| (\w+) \|([^|]*)\| (.*) \|$", text, re.MULTILINE)
    told = [(name, kind, tuple(re.findall(r"`(\w+)`", labels)), words) for name, kind, labels, words in rows]
    assert told == [(family.name, family.kind, family.labels, family.text) for family in FAMILIES]
    named = set(re.findall(r"hoosh_[a-z_]+(?<!_)", text)) - {"hoosh_pool"}
    assert {name.removesuffix("_bucket") for name in named} == {family.name for family in FAMILIES}
