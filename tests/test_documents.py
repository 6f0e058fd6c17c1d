"""What the documents say is there: generated pages, links, make targets, configuration."""

import re
import runpy
from pathlib import Path

import pytest

from hoosh.app import known_types
from hoosh.config.load import load
from hoosh.core.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def _blocks(language: str) -> list[tuple[str, str]]:
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (str(path.relative_to(ROOT)), text) for path in DOCUMENTS for text in fence.findall(path.read_text("utf-8"))
    ]


def test_generated_pages_are_what_the_code_says() -> None:
    pages: dict[str, str] = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()
    assert len(pages) >= 4
    for name, page in pages.items():
        assert (ROOT / "docs" / name).read_text("utf-8") == page, "run `make docs`"


def test_links_lead_somewhere() -> None:
    assert len(DOCUMENTS) > 8
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text("utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert dead == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", path.read_text("utf-8"))}
    assert {"run", "test", "lint"} <= named <= targets


@pytest.mark.parametrize(("document", "text"), _blocks("toml"))
def test_configuration_in_a_document_is_right(document: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "hoosh.toml"
    file.write_text(text, "utf-8")
    environ = {
        name: "postgresql://db.example/hoosh" if name.endswith("URL") else "a-key-of-some-length"
        for name in re.findall(r"\$([A-Z_]+)", text)
    }
    try:
        load(file, environ, known_types())
    except ConfigError as error:
        pytest.fail(f"{document}: {error.message}")


def test_the_bench_configuration_is_right() -> None:
    load(ROOT / "bench" / "hoosh.toml", {}, known_types())


NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_each_test_that_a_document_names_is_there() -> None:
    named = {found for path in DOCUMENTS for found in NAMED.findall(path.read_text("utf-8"))}
    assert len(named) > 50
    missing = [f"{file}::{name}" for file, name in named if not _has_test(ROOT / file, name)]
    assert missing == []


def test_each_row_of_what_holds_names_a_test_and_each_security_test_is_named() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = [line for line in page.split("## What holds")[1].splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith(("| against |", "|---"))]
    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_security_*.py")}
    assert files <= {file for file, _ in NAMED.findall(page)}


def test_each_row_of_the_fault_table_names_a_test_or_says_not_yet_and_each_fault_test_is_named() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| row |")]
    assert len(rows) > 35
    assert [row for row in rows if not NAMED.search(row) and "not yet" not in row] == []
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "fault").glob("test_*.py")}
    assert files <= {file for file, _ in NAMED.findall(page)}


def _has_test(file: Path, name: str) -> bool:
    return file.is_file() and re.search(rf"^def {name}\(", file.read_text("utf-8"), re.MULTILINE) is not None
