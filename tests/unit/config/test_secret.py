import copy
import json
import os
import pickle
from pathlib import Path

import msgspec
import pytest

from hoosh.config.secret import Secret, read_secret

HIDDEN = "sk-0123456789abcdef"


def read(written: object, environ: dict[str, str] | None = None, directory: Path = Path()) -> str:
    return read_secret(written, environ or {}, directory).reveal()


def fault(written: object, environ: dict[str, str] | None = None, directory: Path = Path()) -> str:
    with pytest.raises(ValueError) as caught:
        read(written, environ, directory)
    return str(caught.value)


def secret_file(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    path = directory / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_is_shown_to_nobody() -> None:
    secret = Secret(HIDDEN)
    assert [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", f"{secret:s}", f"{secret:s}"] == [
        "***"
    ] * 7
    assert str([secret]) == "[***]"
    assert secret.reveal() == HIDDEN


def test_a_secret_is_written_by_no_encoder() -> None:
    secret = Secret(HIDDEN)
    for write in (msgspec.json.encode, msgspec.to_builtins, msgspec.msgpack.encode, json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            write(secret)
        assert HIDDEN not in str(caught.value)
    with pytest.raises(TypeError, match="never written"):
        copy.copy(secret)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret() == Secret("")


def test_the_four_ways_to_write_one(tmp_path: Path) -> None:
    path = secret_file(tmp_path, b"from-file\n")
    environ = {"TOKEN": "from-env"}
    assert read("literal") == "literal"
    assert read("$TOKEN", environ) == "from-env"
    assert read({"env": "TOKEN"}, environ) == "from-env"
    assert read({"file": str(path)}) == "from-file"
    assert read({"file": "token"}, directory=tmp_path) == "from-file"


@pytest.mark.parametrize(
    ("content", "value"), [(b"abc", "abc"), (b"abc\n", "abc"), (b"abc\r\n", "abc")], ids=["bare", "lf", "crlf"]
)
def test_the_newline_that_ends_a_file_is_not_part_of_it(tmp_path: Path, content: bytes, value: str) -> None:
    secret_file(tmp_path, content)
    assert read({"file": "token"}, directory=tmp_path) == value


@pytest.mark.parametrize("written", ["$TOKEN", {"env": "TOKEN"}])
def test_an_unset_variable_is_named(written: object) -> None:
    assert fault(written) == "variable TOKEN is not set"
    assert fault(written, {"TOKEN": ""}) == "variable TOKEN is empty"


@pytest.mark.parametrize("written", ["$" + HIDDEN, {"env": HIDDEN}, "${TOKEN}", "$", {"env": ""}])
def test_what_cannot_name_a_variable_is_not_repeated(written: object) -> None:
    assert fault(written) == 'after "$" or env stands the name of a variable: letters, digits and "_"'


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert fault({"file": "nope"}, directory=tmp_path) == f"cannot read {tmp_path}/nope: No such file or directory"
    assert fault({"file": "."}, directory=tmp_path) == f"{tmp_path} is not a file"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o444, 0o620])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, HIDDEN.encode(), mode)
    assert fault({"file": str(path)}) == f"{path} may be read by others (mode {mode:04o}); chmod 600 it"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    secret_file(tmp_path, HIDDEN.encode(), mode)
    assert read({"file": "token"}, directory=tmp_path) == HIDDEN


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert fault({"file": "pipe"}, directory=tmp_path) == f"{tmp_path}/pipe is not a file"


@pytest.mark.parametrize("value", [HIDDEN + "\nx", HIDDEN + " x", HIDDEN + "\x7f", HIDDEN + "é", HIDDEN + "\n\n"])
def test_what_no_header_can_carry_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    path = secret_file(tmp_path, value.encode() + b"\n")
    ending = "holds a blank or a character that is not visible ASCII"
    assert fault(value) == f"the secret {ending}"
    assert fault("$TOKEN", {"TOKEN": value}) == f"variable TOKEN {ending}"
    assert fault({"file": str(path)}) == f"{path} {ending}"


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    path = secret_file(tmp_path, b"\n")
    assert fault("") == "the secret is empty"
    assert fault({"file": str(path)}) == f"{path} is empty"


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (3, "integer"),
        (True, "boolean"),
        ([HIDDEN], "array"),
        ({}, "table"),
        ({"env": 3}, "table"),
        ({"file": ["x"]}, "table"),
        ({"env": "A", "file": "B"}, "table"),
        ({"file": "B", "mode": 1}, "table"),
        ({"keyring": HIDDEN}, "table"),
    ],
)
def test_every_other_form_is_refused(written: object, kind: str) -> None:
    assert fault(written) == f'expected string, {{env = "NAME"}} or {{file = "PATH"}}, got {kind}'
