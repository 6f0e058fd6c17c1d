"""The house rules, held by a machine: who may import whom, how large things may grow, what is not written at all.

Each rule is a function from one source file to complaints, and is itself tested on a small bad source. ARCHITECTURE.md
says why the rules are what they are; a limit is changed there and here, in a commit of its own.
"""

import ast
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent

FILE_LINES = 500
FUNCTION_LINES = 60
FUNCTION_LINES_P90 = 30
PARAMETERS = 6
IMPORT_CHAIN = 10
CATCH_ALL = frozenset({"src/hoosh/engine/courier.py", "src/hoosh/http/routes.py", "src/hoosh/local/supervisor.py"})
ANY = ("src/hoosh/codecs/", "src/hoosh/dialects/", "src/hoosh/config/")
NAMELESS = re.compile(r"(^|_)(utils?|helpers?|common|managers?|base|handlers?|misc)(_|$)")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
MUTABLE_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = frozenset(
    {
        "bytearray",
        "count",
        "cycle",
        "defaultdict",
        "deque",
        "dict",
        "list",
        "set",
        "Condition",
        "Counter",
        "Event",
        "Lock",
    }
    | {"OrderedDict", "Queue", "Semaphore", "WeakKeyDictionary", "WeakSet", "WeakValueDictionary"}
)
MUTATORS = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault"}
    | {"sort", "update"}
)
# In pieces, because this file keeps the rule too.
REGISTRY = re.compile(r"\b(pypi|npmjs|pythonhosted|anaconda)" + r"\.org\b|\bcrates" + r"\.io\b")
# /home/u and its like are made up, in tests.
LOCAL_PATH = re.compile(r"(?<![\w.~}])/(?:(?:root|work)/\w|(?:home|Users)/(?!(?:u|me|user|you)\b)\w)")


class Source(NamedTuple):
    """`path` is relative to the checkout, with "/"."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


Rule = Callable[[Source], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _name(node: ast.expr) -> str:
    """The last word of a name: `x` of both `x` and `a.b.x`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def file_is_short(source: Source) -> Iterator[str]:
    if (n := len(source.lines)) > FILE_LINES:
        yield f"{source.path}: {n} lines, not more than {FILE_LINES}"


def functions_are_short(source: Source) -> Iterator[str]:
    for function in _functions(source):
        if (n := _length(function)) > FUNCTION_LINES:
            yield f"{source.path}:{function.lineno}: {function.name} has {n} lines, not more than {FUNCTION_LINES}"


def signatures_are_narrow(source: Source) -> Iterator[str]:
    for function in _functions(source):
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        if (n := len([name for name in names if name not in {"self", "cls"}])) > PARAMETERS:
            yield f"{source.path}:{function.lineno}: {function.name} takes {n} parameters: more make a struct"


def _catches_all(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    elif isinstance(node, ast.Call) and _name(node.func) == "suppress":
        kinds = node.args
    else:
        return False
    if isinstance(node, ast.ExceptHandler) and isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
        return False  # it gives something back and lets the error pass
    return any(kind is None or _name(kind) in {"Exception", "BaseException"} for kind in kinds)


def _has_words(line: str) -> bool:
    """There is a comment, and it is more than an order to a linter."""
    return bool(re.search("[a-z]", re.sub(r"noqa(: *[A-Z0-9, ]+)?|type: *ignore\S*", "", line.partition("#")[2])))


def catch_alls_have_a_place_and_a_reason(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if not _catches_all(node):
            continue
        line: int = node.lineno  # type: ignore[attr-defined]
        if source.path not in CATCH_ALL:
            yield f"{source.path}:{line}: a catch-all except; only {', '.join(sorted(CATCH_ALL))} may"
        elif not any(_has_words(near) for near in source.lines[line - 2 : line + 1]):
            yield f"{source.path}:{line}: a catch-all except without its reason beside it"


def nothing_is_global(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield f"{source.path}:{node.lineno}: global {', '.join(node.names)}"


def _module_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        for field in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
                yield from _module_level(getattr(statement, field, ()))


def _is_mutable(value: ast.expr | None) -> bool:
    return isinstance(value, MUTABLE_DISPLAYS) or (isinstance(value, ast.Call) and _name(value.func) in MUTABLE_CALLS)


def modules_hold_no_state(source: Source) -> Iterator[str]:
    """A table is a constant: named in capitals, and then nobody changes it (`constants_stay`)."""
    for statement in _module_level(source.tree.body):
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or not _is_mutable(statement.value):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        bad = [name for target in targets if not CONSTANT.fullmatch(name := _name(target)) and name != "__all__"]
        # list, dict and set displays are tables; a deque, a counter or a lock is made to change.
        if bad or not (isinstance(statement.value, MUTABLE_DISPLAYS)):
            yield f"{source.path}:{statement.lineno}: mutable state of a module"


def functions_keep_no_cache(source: Source) -> Iterator[str]:
    for function in _functions(source):
        for decorator in function.decorator_list:
            plain = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _name(plain) in {"cache", "lru_cache"}:
                yield f"{source.path}:{function.lineno}: {function.name} is cached for the life of the process"


def constants_stay(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        changed: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            changed = [target.value for target in node.targets if isinstance(target, ast.Subscript)]
        elif isinstance(node, ast.AugAssign):
            changed = [node.target.value if isinstance(node.target, ast.Subscript) else node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            changed = [node.func.value]
        for target in changed:
            if CONSTANT.fullmatch(_name(target)):
                yield f"{source.path}:{target.lineno}: {_name(target)} is changed"


def any_stays_at_the_json_border(source: Source) -> Iterator[str]:
    if source.path.startswith(ANY):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute) and _name(node) == "Any":
            yield f"{source.path}:{node.lineno}: Any"


def modules_are_named_for_a_thing(source: Source) -> Iterator[str]:
    for part in Path(source.path).with_suffix("").parts:
        if NAMELESS.search(part):
            yield f"{source.path}: {part!r} names no thing"


def modules_say_what_they_are(source: Source) -> Iterator[str]:
    if ast.get_docstring(source.tree) is None:
        yield f"{source.path}: no docstring"


def no_place_of_one_machine(source: Source) -> Iterator[str]:
    for n, line in enumerate(source.lines, 1):
        if REGISTRY.search(line):
            yield f"{source.path}:{n}: names a package registry's host"
        if LOCAL_PATH.search(line):
            yield f"{source.path}:{n}: a path of one machine"


EVERY_PYTHON_FILE: tuple[Rule, ...] = (file_is_short, functions_are_short, modules_are_named_for_a_thing)
EVERY_MODULE: tuple[Rule, ...] = (
    signatures_are_narrow,
    catch_alls_have_a_place_and_a_reason,
    nothing_is_global,
    modules_hold_no_state,
    functions_keep_no_cache,
    constants_stay,
    any_stays_at_the_json_border,
    modules_say_what_they_are,
)


@cache
def _kept_files() -> tuple[str, ...]:
    """What git has or would take: paths from the checkout's root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return tuple(sorted(name for name in set(listed) if name and (ROOT / name).is_file()))


def _sources(suffix: str, *, under: str = "") -> list[Source]:
    names = [name for name in _kept_files() if name.endswith(suffix) and name.startswith(under)]
    return [Source(name, (ROOT / name).read_text(encoding="utf-8")) for name in names]


def _hold(rule: Rule, sources: Iterable[Source]) -> None:
    complaints = [complaint for source in sources for complaint in rule(source)]
    assert not complaints, "\n".join(["", *complaints])


@pytest.mark.parametrize("rule", EVERY_PYTHON_FILE, ids=lambda rule: rule.__name__)
def test_every_python_file(rule: Rule) -> None:
    sources = _sources(".py")
    assert len(sources) > 50
    _hold(rule, sources)


@pytest.mark.parametrize("rule", EVERY_MODULE, ids=lambda rule: rule.__name__)
def test_every_module(rule: Rule) -> None:
    _hold(rule, _sources(".py", under="src/"))


def test_nothing_tells_of_one_machine() -> None:
    text = [
        Source(name, (ROOT / name).read_text(encoding="utf-8", errors="replace"))
        for name in _kept_files()
        if not name.endswith((".bin", ".gguf", ".wav", ".gz"))
    ]
    _hold(no_place_of_one_machine, text)


def test_most_functions_fit_on_a_screen() -> None:
    lengths = [_length(f) for source in _sources(".py", under="src/") for f in _functions(source)]
    assert statistics.quantiles(lengths, n=10)[-1] <= FUNCTION_LINES_P90


BAD: tuple[tuple[Rule, str, str], ...] = (
    (file_is_short, "src/hoosh/x.py", "\n" * (FILE_LINES + 1)),
    (functions_are_short, "src/hoosh/x.py", "def f():\n" + "    g()\n" * FUNCTION_LINES),
    (functions_are_short, "src/hoosh/x.py", "class A:\n    async def f(self):\n" + "        g()\n" * FUNCTION_LINES),
    (signatures_are_narrow, "src/hoosh/x.py", "def f(a, b, c, d, /, e, *, f, g): ..."),
    (catch_alls_have_a_place_and_a_reason, "src/hoosh/x.py", "try: ...\nexcept Exception:  # a reason\n    pass"),
    (catch_alls_have_a_place_and_a_reason, "src/hoosh/x.py", "try: ...\nexcept:  # a reason\n    pass"),
    (catch_alls_have_a_place_and_a_reason, "src/hoosh/x.py", "try: ...\nexcept (OSError, BaseException): ..."),
    (catch_alls_have_a_place_and_a_reason, "src/hoosh/x.py", "with contextlib.suppress(Exception): ..."),
    (
        catch_alls_have_a_place_and_a_reason,
        "src/hoosh/http/routes.py",
        "try: ...\nexcept Exception:  # noqa: BLE001\n    x",
    ),
    (
        catch_alls_have_a_place_and_a_reason,
        "src/hoosh/x.py",
        "try: ...\nexcept Exception:\n    if f(): raise\n    g()",
    ),
    (nothing_is_global, "src/hoosh/x.py", "def f():\n    global x\n    x = 1"),
    (modules_hold_no_state, "src/hoosh/x.py", "seen = []"),
    (modules_hold_no_state, "src/hoosh/x.py", "if y:\n    seen: dict[str, int] = {}"),
    (modules_hold_no_state, "src/hoosh/x.py", "LOCK = asyncio.Lock()"),
    (modules_hold_no_state, "src/hoosh/x.py", "_IDS = itertools.count()"),
    (functions_keep_no_cache, "src/hoosh/x.py", "@functools.lru_cache(maxsize=None)\ndef f(): ..."),
    (constants_stay, "src/hoosh/x.py", "def f():\n    TABLE['a'] = 1"),
    (constants_stay, "src/hoosh/x.py", "def f():\n    del rows.TABLE['a']"),
    (constants_stay, "src/hoosh/x.py", "def f():\n    rows.TABLE.append(1)"),
    (constants_stay, "src/hoosh/x.py", "def f():\n    TABLE['n'] += 1"),
    (any_stays_at_the_json_border, "src/hoosh/engine/x.py", "def f(a: dict[str, Any]): ..."),
    (any_stays_at_the_json_border, "src/hoosh/engine/x.py", "def f() -> typing.Any: ..."),
    (modules_are_named_for_a_thing, "src/hoosh/engine/http_utils.py", ""),
    (modules_are_named_for_a_thing, "src/hoosh/common/x.py", ""),
    (modules_say_what_they_are, "src/hoosh/x.py", "import os"),
    (no_place_of_one_machine, "x.txt", f"--index-url https://{'pypi'}.org/simple"),
    (no_place_of_one_machine, "x.md", f"see /{'home'}/jane/x"),
)

GOOD: tuple[tuple[Rule, str, str], ...] = (
    (signatures_are_narrow, "src/hoosh/x.py", "class A:\n    def f(self, a, b, c, d, e, f): ..."),
    (
        catch_alls_have_a_place_and_a_reason,
        "src/hoosh/http/routes.py",
        "try: ...\nexcept Exception:  # noqa: BLE001 - the last resort\n    x",
    ),
    (catch_alls_have_a_place_and_a_reason, "src/hoosh/x.py", "try: ...\nexcept OSError: ..."),
    (catch_alls_have_a_place_and_a_reason, "src/hoosh/x.py", "try: ...\nexcept BaseException:\n    f()\n    raise"),
    (
        modules_hold_no_state,
        "src/hoosh/x.py",
        "TABLE = {'a': 1}\n_ROWS: Mapping[str, int] = {}\n__all__ = ['f']\nx = (1,)",
    ),
    (constants_stay, "src/hoosh/x.py", "def f(rows):\n    rows['a'] = TABLE['a']\n    rows.update(TABLE)"),
    (any_stays_at_the_json_border, "src/hoosh/dialects/x.py", "def f(a: Any): ..."),
    (modules_are_named_for_a_thing, "src/hoosh/core/database.py", ""),
    (no_place_of_one_machine, "x.md", "GET /v1/work/1 and https://host/home/page and ~/work/x and /home/me/x"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_the_rule_sees_what_is_bad(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_the_rule_lets_pass_what_is_good(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


# Imports


def _cycle(imports: Mapping[str, frozenset[str]]) -> list[str]:
    """Some modules that import each other in a ring, or []."""
    left = dict(imports)
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def _longest_chain(imports: Mapping[str, frozenset[str]]) -> list[str]:
    """Without cycles only."""
    longest: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in longest:
            longest[name] = [name, *max((chain(target) for target in imports[name]), key=len, default=[])]
        return longest[name]

    return max((chain(name) for name in imports), key=len)


def _imports() -> Mapping[str, frozenset[str]]:
    graph = grimp.build_graph("hoosh", exclude_type_checking_imports=True, cache_dir=None)
    graph.remove_module("hoosh.__main__")  # nobody imports it
    return {name: frozenset(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def test_no_import_ring_and_no_long_chain() -> None:
    imports = _imports()
    assert len(imports) > 50
    assert _cycle(imports) == []
    chain = _longest_chain(imports)
    assert len(chain) <= IMPORT_CHAIN, " > ".join(chain)


def test_a_ring_and_a_chain_are_seen() -> None:
    ring = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset[str]()}
    assert _cycle(ring) == ["a", "b", "c"]
    line = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset("d"), "d": frozenset[str]()}
    assert _cycle(line) == []
    assert _longest_chain(line) == ["a", "b", "c", "d"]


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_import_contracts_are_kept() -> None:
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/chat.py", "import hoosh.codecs.sse", "Imports point down"),
        ("engine/engine.py", "import hoosh.transport.pool", "Imports point down"),
        ("stores/memory.py", "import hoosh.http.routes", "Imports point down"),
        ("policy/attempts.py", "import time", "The core is pure"),
        ("dialects/openai_chat/request.py", "import hoosh.dialects.gemini", "One dialect does not know another"),
        ("newroom.py", "", "Imports point down"),
    ],
)
def test_a_broken_contract_is_named(module: str, line: str, contract: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "src" / "hoosh" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = _lint_imports(tmp_path)
    assert done.returncode == 1
    assert re.search(rf"{contract}.*BROKEN|newroom", done.stdout), done.stdout


# Settings that the rest leans on


def test_warnings_are_errors_and_types_are_strict() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    pytest_options = tools["pytest"]["ini_options"]
    assert pytest_options["filterwarnings"] == ["error"]
    assert pytest_options["xfail_strict"] is True
    assert tools["mypy"]["strict"] is True
    assert tools["ruff"]["lint"]["select"] == ["ALL"]
