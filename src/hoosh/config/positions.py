"""On which line of a TOML document is each key? `tomllib` does not say.

Takes a document that `tomllib` has accepted, so it tells tokens apart and checks nothing. Grammar: TOML 1.0.0
(https://toml.io/en/v1.0.0, read 2026-11).
"""

import re

from hoosh.config.problem import Place

_TOKEN = re.compile(
    r'''(?P<blank>[ \t]+|\#[^\n]*)
      | (?P<token>
            """(?:\\.|[^\\])*?"""+      # up to two quotes of its own may stand before the closing three
          | \'\'\'.*?\'\'\'+
          | "(?:\\.|[^"\\\n])*"
          | '[^'\n]*'
          | [\[\]{},=.\n]
          | [^\s\[\]{},=.\#"']+
        )''',
    re.VERBOSE | re.DOTALL,
)
_VALUE_ENDS = ("\n", ",", "]", "}", "")


def positions(text: str) -> dict[Place, int]:
    """The line, from 1, of each key, table and array element of a valid document; the root is on line 1."""
    scan = _Scan(text)
    table: Place = ()
    while head := scan.peek():
        if head == "\n":
            scan.take()
        elif head == "[":
            table = scan.header()
        else:
            scan.pair(table)
    return scan.lines


def line_of(place: Place, lines: dict[Place, int]) -> int:
    """The line of `place`, or of the nearest table around it that is written in the document."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


class _Scan:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            if match["token"]:
                self._tokens.append((match["token"], line))
            line += match[0].count("\n")
        self._tokens.append(("", line))
        self._at = 0
        self._newest: dict[Place, int] = {}
        self.lines: dict[Place, int] = {(): 1}

    def peek(self) -> str:
        return self._tokens[self._at][0]

    def take(self) -> str:
        token = self.peek()
        # Stays on the end, where every loop stops.
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _line(self) -> int:
        return self._tokens[self._at][1]

    def header(self) -> Place:
        line = self._line()
        self.take()
        many = self.peek() == "["
        if many:
            self.take()
        *parents, name = self._keys()
        place: Place = ()
        for key in parents:
            place = (*place, key)
            self.lines.setdefault(place, line)
            # A table below an array of tables belongs to its newest element.
            if place in self._newest:
                place = (*place, self._newest[place])
        place = (*place, name)
        self.lines.setdefault(place, line)
        if many:
            self.take()
            self._newest[place] = self._newest.get(place, -1) + 1
            place = (*place, self._newest[place])
            self.lines[place] = line
        self.take()
        return place

    def pair(self, table: Place) -> None:
        line = self._line()
        place = table
        for key in self._keys():
            place = (*place, key)
            self.lines.setdefault(place, line)
        self.take()
        self._value(place)

    def _keys(self) -> list[str]:
        keys = [_key(self.take())]
        while self.peek() == ".":
            self.take()
            keys.append(_key(self.take()))
        return keys

    def _value(self, place: Place) -> None:
        if self.peek() == "[":
            self._array(place)
        elif self.peek() == "{":
            self._inline_table(place)
        else:
            # A float or a date with a blank is several tokens.
            self.take()
            while self.peek() not in _VALUE_ENDS:
                self.take()

    def _array(self, place: Place) -> None:
        self.take()
        index = 0
        while (head := self.peek()) not in ("]", ""):
            if head in ("\n", ","):
                self.take()
            else:
                self.lines[*place, index] = self._line()
                self._value((*place, index))
                index += 1
        self.take()

    def _inline_table(self, place: Place) -> None:
        self.take()
        while (head := self.peek()) not in ("}", ""):
            if head in ("\n", ","):
                self.take()
            else:
                self.pair(place)
        self.take()


def _key(token: str) -> str:
    if token.startswith('"'):
        import tomllib  # noqa: PLC0415  # escapes are its business

        unescaped: str = tomllib.loads(f"key = {token}")["key"]
        return unescaped
    return token.strip("'")
