"""The line finder, on literal documents and against generated ones: `tomllib` says which places there are."""

import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.config.positions import line_of, positions
from hoosh.config.problem import Place

DOCUMENT = '''\
# comment [x]
top = 1

[server]   # [not.this]
port = 8088
"quoted \\u0041" = "a # no comment"
'literal.key' = 'C:\\'
a.b . "c" = 1_000.5
text = """
[fake]
port = 1
\\"""
end"""""
raw = \'\'\'
[[fake]]
\'\'\'
when = 1979-05-27 07:32:00
list = [ # comment ]
  1, "]",

  [ 2 ],
]
inline = { x = 1, y.z = [
  3 ] }

[[providers]]
type = "a"
  [providers.deep]
  x = 1
  [[providers.many]]
  [[providers.many]]
  y = 1

[[ providers ]]

type = "b"
[providers.deep]
x = 2
[x.y.z]
[x]
'''

LINES: dict[Place, int] = {
    (): 1,
    ("top",): 2,
    ("server",): 4,
    ("server", "port"): 5,
    ("server", "quoted A"): 6,
    ("server", "literal.key"): 7,
    ("server", "a"): 8,
    ("server", "a", "b"): 8,
    ("server", "a", "b", "c"): 8,
    ("server", "text"): 9,
    ("server", "raw"): 14,
    ("server", "when"): 17,
    ("server", "list"): 18,
    ("server", "list", 0): 19,
    ("server", "list", 1): 19,
    ("server", "list", 2): 21,
    ("server", "list", 2, 0): 21,
    ("server", "inline"): 23,
    ("server", "inline", "x"): 23,
    ("server", "inline", "y"): 23,
    ("server", "inline", "y", "z"): 23,
    ("server", "inline", "y", "z", 0): 24,
    ("providers",): 26,
    ("providers", 0): 26,
    ("providers", 0, "type"): 27,
    ("providers", 0, "deep"): 28,
    ("providers", 0, "deep", "x"): 29,
    ("providers", 0, "many"): 30,
    ("providers", 0, "many", 0): 30,
    ("providers", 0, "many", 1): 31,
    ("providers", 0, "many", 1, "y"): 32,
    ("providers", 1): 34,
    ("providers", 1, "type"): 36,
    ("providers", 1, "deep"): 37,
    ("providers", 1, "deep", "x"): 38,
    ("x",): 39,
    ("x", "y"): 39,
    ("x", "y", "z"): 39,
}


def places(value: Any, at: Place = ()) -> set[Place]:
    found = {at}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= places(inner, (*at, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found |= places(inner, (*at, index))
    return found


def test_every_place_of_a_document() -> None:
    assert positions(DOCUMENT) == LINES
    assert places(tomllib.loads(DOCUMENT)) == set(LINES)


def test_an_empty_document_has_a_root() -> None:
    assert positions("") == {(): 1}


def test_a_table_of_dotted_keys_is_where_it_is_first_written() -> None:
    assert positions("a.b = 1\na.c = 2\n") == {(): 1, ("a",): 1, ("a", "b"): 1, ("a", "c"): 2}


def test_windows_lines_are_lines() -> None:
    assert positions("a = 1\r\n[b]\r\nc = 2 # d\r\n") == {(): 1, ("a",): 1, ("b",): 2, ("b", "c"): 3}


def test_a_last_line_without_an_end_counts() -> None:
    assert positions("\n\na = 1") == {(): 1, ("a",): 3}


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("server", "port"), 5),
        (("server", "nope"), 4),
        (("providers", 1, "name"), 34),
        (("providers", 1, "deep", "nope", "nope"), 37),
        (("providers", 7), 26),
        (("nope", "nope"), 1),
        ((), 1),
    ],
)
def test_what_is_not_written_is_told_at_the_table_around_it(place: Place, line: int) -> None:
    assert line_of(place, LINES) == line


def test_what_tomllib_can_nest_can_be_scanned() -> None:
    for shape in ("[%s]", "{ a = %s }", "[{ a = %s }]"):
        value = "1"
        for _ in range(100):
            value = shape % value
        text = f"k = {value}"
        assert set(positions(text)) == places(tomllib.loads(text))


SCALARS = [
    "1",
    "-1_0.5e+3",
    "inf",
    "true",
    "0xff",
    "1979-05-27 07:32:00.5",
    "1979-05-27T07:32:00-08:00",
    "07:32:00",
    '""',
    "''",
    '"a \\" # [b] = {c}, \\\\"',
    "'a # [b] = {c}, \\'",
    '"""\n[fake]\nkey = 1 # "\\""""',
    '"""a"b""c\\\n  """',
    '""""two quotes""\n"""""',
    "'''\n[[fake]]\nkey = \"1\n'''",
    "''''it''s' '''''",
    '"""one more""""',
    "'''one more''''",
]
KEYS = ["k%d", "%d", "-%d_", '"k %d"', "'k.%d'", '"[k%d]"', '"\\u0041 \\"%d"', "'# %d'", '"=%d"']


class Writer:
    """A TOML document as it grows, and the line of each place in it."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Place, int] = {(): 1}
        self.keys = 0

    def mark(self, place: Place) -> None:
        self.lines.setdefault(place, self.text.count("\n") + 1)

    def any_of(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def key(self) -> tuple[str, str]:
        """How it is written, and what it is."""
        self.keys += 1
        written = self.any_of(*KEYS) % self.keys
        return written, next(iter(tomllib.loads(f"{written} = 1")))

    def pair(self, table: Place, depth: int) -> None:
        place = table
        for step in range(self.draw(st.integers(1, 3))):
            written, key = self.key()
            self.text += self.any_of(".", " . ") * bool(step)
            place = (*place, key)
            self.mark(place)
            self.text += written
        self.text += self.any_of("=", " = ", "\t=")
        self.value(place, depth)

    def value(self, place: Place, depth: int) -> None:
        kind = self.any_of("scalar", "array", "inline") if depth else "scalar"
        if kind == "scalar":
            self.text += self.any_of(*SCALARS)
        elif kind == "array":
            self.text += "["
            for index in range(self.draw(st.integers(0, 3))):
                self.text += self.any_of("", " ", "\n", " # ], [\n\n")
                self.mark((*place, index))
                self.value((*place, index), depth - 1)
                self.text += self.any_of(",", "\n,", " ,  ")
            self.text += self.any_of("]", "\n # no ]\n]")
        else:
            self.text += "{"
            for index in range(self.draw(st.integers(0, 3))):
                self.text += self.any_of(",", ", ") * bool(index)
                self.pair(place, depth - 1)
            self.text += self.any_of("}", " }")

    def body(self, table: Place) -> None:
        for _ in range(self.draw(st.integers(0, 3))):
            self.text += self.any_of("", "\n", "# [no]\n", "\t")
            self.pair(table, 2)
            self.text += self.any_of("\n", " # = [\n")

    def header(self, parents: list[str], place: Place, opening: str) -> tuple[list[str], Place]:
        """A `[...]` or `[[...]]` below `place`, which is written `parents`."""
        written, key = self.key()
        place = (*place, key)
        self.mark(place)
        if opening == "[[":
            place = (*place, 0)
            self.mark(place)
        self.text += opening + ".".join([*parents, written]) + opening.replace("[", "]") + "\n"
        self.body(place)
        return [*parents, written], place

    def again(self, parents: list[str], place: Place) -> Place:
        """The next element of the array of tables whose newest element is `place`."""
        assert isinstance(place[-1], int)
        place = (*place[:-1], place[-1] + 1)
        self.mark(place)
        self.text += "[[" + " . ".join(parents) + "]]\n"
        self.body(place)
        return place


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Place, int]]:
    write = Writer(draw)
    write.body(())
    for _ in range(draw(st.integers(0, 3))):
        opening = write.any_of("[", "[[")
        parents, place = write.header([], (), opening)
        for _ in range(draw(st.integers(0, 3))):
            if opening == "[[" and draw(st.booleans()):
                place = write.again(parents, place)
            else:
                write.header(parents, place, write.any_of("[", "[["))
    return write.text, write.lines


@settings(max_examples=150, deadline=None)
@given(documents())
def test_every_place_of_a_generated_document_is_on_its_line(document: tuple[str, dict[Place, int]]) -> None:
    text, lines = document
    assert places(tomllib.loads(text)) == set(lines)  # the generator says what it means
    assert positions(text) == lines


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*'[]{},=."\n', "'", '"""', "a", "1", "# ", "[[", "]]"]), max_size=30))
def test_what_is_no_toml_comes_to_an_end(tokens: list[str]) -> None:
    with suppress(tomllib.TOMLDecodeError):  # of a quoted key that is none
        assert positions("".join(tokens))[()] == 1
