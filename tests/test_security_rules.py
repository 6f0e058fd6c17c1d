"""What is not written in `src`, because it has made holes in others' gateways: text that is run, SQL that is put together,
TLS that can be switched off. Each rule is a function from a file to complaints, and is itself tried on bad sources.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hoosh.config.schema import Config
from hoosh.transport.settings import TransportSettings

ROOT = Path(__file__).resolve().parent.parent
Rule = Callable[[str, ast.AST], Iterator[str]]

RUNS = frozenset({"eval", "exec", "compile", "__import__"})
UNSAFE_MODULES = frozenset(
    {"pickle", "cPickle", "marshal", "shelve", "dill", "yaml", "jinja2", "mako", "xml", "tarfile"}
)
SHELLS = frozenset({"os.system", "os.popen", "getoutput", "getstatusoutput", "create_subprocess_shell"})
# Whose SQL has names in it that no statement can take as a value: a schema (always "hoosh" but in tests), tables of
# the file's own list, columns of its own structs, the size of a page. No text of a request comes near them.
OWN_NAMES = frozenset(
    f"src/hoosh/stores/{name}.py" for name in ("batches", "postgres/database", "sqlite/outgo", "sqlite/statements")
)
OFF = frozenset({"verify", "verify_ssl", "ssl_verify", "insecure", "server_hostname"})
SQL_VERBS = ("select ", "insert ", "update ", "delete ", "create ", "alter ", "drop ", "replace ", "with ")


def _called(node: ast.Call) -> str:
    function = node.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def no_text_is_run(path: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNS:
            yield f"{path}:{node.lineno}: {node.func.id}"


def no_unsafe_reader_is_imported(path: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"{path}: imports {name}" for name in names if name.split(".")[0] in UNSAFE_MODULES)


def no_shell_is_asked(path: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if {_called(node), ast.unparse(node.func)} & SHELLS:
                yield f"{path}:{node.lineno}: {_called(node)}"
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield f"{path}:{node.lineno}: shell="


def _is_constant(node: ast.expr) -> bool:
    """A name in capitals, or made of such: `TABLE`, `len(FIELDS)`, `", ".join(COLUMNS)`."""
    if isinstance(node, ast.Call):
        return all(_is_constant(argument) for argument in node.args) and not node.keywords
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_").isupper()
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.lstrip("_").isupper())


def _inside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from ast.walk(node)


def sql_is_made_of_constants(path: str, tree: ast.AST) -> Iterator[str]:
    """A module's own texts are made before there is any request."""
    if path in OWN_NAMES:
        return
    for node in _inside_functions(tree):
        if isinstance(node, ast.JoinedStr):
            first = node.values[0] if node.values else None
            text = first.value if isinstance(first, ast.Constant) else ""
            parts = [value.value for value in node.values if isinstance(value, ast.FormattedValue)]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            text = node.left.value if isinstance(node.left, ast.Constant) else ""
            parts = [node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            text = node.func.value.value if isinstance(node.func.value, ast.Constant) else ""
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        else:
            continue
        is_sql = isinstance(text, str) and text.lstrip().lower().startswith(SQL_VERBS)
        if is_sql and not all(map(_is_constant, parts)):
            yield f"{path}:{getattr(node, 'lineno', 0)}: SQL of what is no constant: {ast.unparse(node)[:80]}"


def certificates_are_checked(path: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        words: set[str] = set()
        if isinstance(node, ast.Attribute):
            words = {node.attr}
        elif isinstance(node, ast.Name):
            words = {node.id}
        if words & {"CERT_NONE", "CERT_OPTIONAL", "_create_unverified_context", "_create_stdlib_context"}:
            yield f"{path}: {words}"
        if isinstance(node, ast.Assign):
            names = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
            if names & {"check_hostname", "verify_mode", "verify_flags"}:
                yield f"{path}:{node.lineno}: {names}"
        if isinstance(node, ast.keyword) and node.arg in OFF and isinstance(node.value, ast.Constant):
            yield from () if node.value.value else (f"{path}: {node.arg} is off",)


RULES: tuple[Rule, ...] = (
    no_text_is_run,
    no_unsafe_reader_is_imported,
    no_shell_is_asked,
    sql_is_made_of_constants,
    certificates_are_checked,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_module_has_it(rule: Rule) -> None:
    files = sorted((ROOT / "src").rglob("*.py"))
    assert len(files) > 200
    found = [said for path in files for said in rule(str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8")))]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (no_text_is_run, "def f(a):\n    return eval(a)"),
        (no_text_is_run, "exec(a)"),
        (no_unsafe_reader_is_imported, "import pickle"),
        (no_unsafe_reader_is_imported, "from yaml import load"),
        (no_unsafe_reader_is_imported, "def f():\n    import jinja2.sandbox"),
        (no_shell_is_asked, "subprocess.run(a, shell=True)"),
        (no_shell_is_asked, "subprocess.run(a, shell=b)"),
        (no_shell_is_asked, "os.system(a)"),
        (sql_is_made_of_constants, "def f(): f'SELECT * FROM t WHERE id = {name}'"),
        (sql_is_made_of_constants, "def f(): 'select 1 from ' + table"),
        (sql_is_made_of_constants, "def f(): 'DELETE FROM t WHERE id = %s' % name"),
        (sql_is_made_of_constants, "def f(): 'insert into {} values'.format(a)"),
        (certificates_are_checked, "context.verify_mode = ssl.CERT_NONE"),
        (certificates_are_checked, "context.check_hostname = False"),
        (certificates_are_checked, "get(url, verify=False)"),
        (certificates_are_checked, "ssl._create_unverified_context()"),
    ],
)
def test_the_rule_sees_it(rule: Rule, text: str) -> None:
    assert list(rule("x.py", ast.parse(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (no_text_is_run, "re.compile(a)"),
        (no_shell_is_asked, "subprocess.run([a], shell=False)"),
        (sql_is_made_of_constants, "def f(): f'SELECT {_COLUMNS} FROM t WHERE id = ?'"),
        (sql_is_made_of_constants, "X = f'SELECT {columns} FROM t'"),
        (sql_is_made_of_constants, "def f(): f'selected {name}'"),
        (certificates_are_checked, "context.load_verify_locations(a)"),
    ],
)
def test_the_rule_lets_pass(rule: Rule, text: str) -> None:
    assert list(rule("x.py", ast.parse(text))) == []


def test_no_setting_switches_tls_off() -> None:
    words = " ".join([*TransportSettings.__struct_fields__, *_names(Config)]).lower()
    assert "ca_file" in words
    for word in ("verify", "insecure", "skip_tls", "tls_off", "self_signed"):
        assert word not in words


def _names(kind: type) -> Iterator[str]:
    yield from getattr(kind, "__struct_fields__", ())
    for annotation in getattr(kind, "__annotations__", {}).values():
        yield str(annotation)
