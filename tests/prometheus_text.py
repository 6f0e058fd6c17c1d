"""Reads Prometheus' text format 0.0.4 and bears nothing that the format does not allow."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
_VALUE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|Inf)|NaN")
_UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
Labels = Mapping[str, str]


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


class Page:
    def __init__(self, text: bytes) -> None:
        """Raises ValueError."""
        self.kinds: dict[str, str] = {}
        self.helps: dict[str, str] = {}
        self.samples: list[Sample] = []
        self._current = ""
        lines = text.decode().split("\n")
        if lines.pop() != "":
            raise ValueError("the last line does not end")
        for line in lines:
            self._read(line)
        seen = [(sample.name, *sorted(sample.labels.items())) for sample in self.samples]
        if len(seen) != len(set(seen)):
            raise ValueError("a sample is told twice")
        for name, kind in self.kinds.items():
            if kind == "histogram":
                self._check_histogram(name)

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples that have these labels, whatever others they have."""
        return sum(sample.value for sample in self.all(name) if labels.items() <= sample.labels.items())

    def all(self, name: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.name == name]

    def _read(self, line: str) -> None:
        if line.startswith("# "):
            _, word, name, *rest = line.split(" ", 3)
            if not _NAME.fullmatch(name) or word not in ("HELP", "TYPE"):
                raise ValueError(line)
            told = self.helps if word == "HELP" else self.kinds
            if name in told or any(_family(sample.name, self.kinds) == name for sample in self.samples):
                raise ValueError(f"{word} comes twice or late: {line}")
            told[name] = rest[0]
            if word == "TYPE" and rest[0] not in ("counter", "gauge", "histogram", "summary", "untyped"):
                raise ValueError(line)
            self._current = name
            return
        sample = _sample(line)
        if _family(sample.name, self.kinds) != self._current:
            raise ValueError(f"not with its family: {line}")
        if self.kinds[self._current] == "counter" and not (sample.value >= 0 and sample.name.endswith("_total")):
            raise ValueError(line)
        self.samples.append(sample)

    def _check_histogram(self, name: str) -> None:
        """Buckets rise, the last is +Inf and is the count; each has a sum."""
        rows: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for sample in self.all(f"{name}_bucket"):
            labels = dict(sample.labels)
            bound = float(labels.pop("le").replace("Inf", "inf"))
            rows.setdefault(tuple(sorted(labels.items())), []).append((bound, sample.value))
        counts = {tuple(sorted(sample.labels.items())): sample.value for sample in self.all(f"{name}_count")}
        sums = {tuple(sorted(sample.labels.items())) for sample in self.all(f"{name}_sum")}
        if rows.keys() != counts.keys() or rows.keys() != sums:
            raise ValueError(f"{name}: buckets, sums and counts do not belong together")
        for row, buckets in rows.items():
            if buckets != sorted(buckets) or [n for _, n in buckets] != sorted(n for _, n in buckets):
                raise ValueError(f"{name}: buckets do not rise")
            if buckets[-1] != (math.inf, counts[row]):
                raise ValueError(f"{name}: the last bucket is not all")


def _family(name: str, kinds: Mapping[str, str]) -> str:
    for suffix in ("_bucket", "_sum", "_count"):
        if kinds.get(name.removesuffix(suffix)) == "histogram":
            return name.removesuffix(suffix)
    return name


def _sample(line: str) -> Sample:
    found = _NAME.match(line)
    if not found:
        raise ValueError(line)
    name, rest, labels = found[0], line[found.end() :], {}
    if rest.startswith("{"):
        rest = rest[1:]
        while label := _LABEL.match(rest):
            if label[1] in labels:
                raise ValueError(line)
            labels[label[1]] = re.sub(r"\\.", lambda escape: _UNESCAPED[escape[0]], label[2])
            rest = rest[label.end() :].removeprefix(",")
        if not rest.startswith("}"):
            raise ValueError(line)
        rest = rest[1:]
    if not rest.startswith(" ") or not _VALUE.fullmatch(rest[1:]):
        raise ValueError(line)
    return Sample(name, labels, float(rest[1:].replace("Inf", "inf")))
