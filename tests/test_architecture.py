"""The folder list is the architecture: imports point downward, heavy modules stay where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prx_email_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))
_BOTTOM = {"files", "children", "redaction", "notify_socket", "errors"}
_BELOW_THE_DOORS = {"submission", "outbox", "smtp", "oauth", "mail", "config", *_BOTTOM}
BELOW = {
    "cli": {"cli", "sendmail", "listen", "delivery", "checks", "system", *_BELOW_THE_DOORS},
    "listen": {"listen", "submission", "outbox", "mail", "config", *_BOTTOM},
    "sendmail": {"sendmail", "listen", "submission", "outbox", "mail", "config", *_BOTTOM},
    "delivery": {"delivery", "outbox", "smtp", "oauth", "mail", "config", *_BOTTOM},
    "checks": {"checks", "outbox", "smtp", "oauth", "config", *_BOTTOM},
    "submission": {"submission", "outbox", "mail", "config", *_BOTTOM},
    "outbox": {"outbox", "mail", "config", *_BOTTOM},
    "smtp": {"smtp", "oauth", "config", *_BOTTOM},
    "oauth": {"oauth", "config", *_BOTTOM},
    "mail": {"mail", *_BOTTOM},
    "config": {"config", *_BOTTOM},
    "system": {"system", *_BOTTOM},
    "files": {"errors"},
    "children": set[str](),
    "redaction": set[str](),
    "notify_socket": set[str](),
    "errors": set[str](),
    "__main__": {"cli"},
}
KEPT_IN = {
    "smtplib": "smtp",
    "yagmail": "smtp",
    "sqlite3": "outbox",
    "psycopg": "outbox",
    "css_inline": "mail",
    "selectolax": "mail",
}
LAZY = ["rich", "ssl", "smtplib", "email", "yagmail", "sqlite3", "psycopg", "css_inline", "selectolax", "jinja2"]
NO_IO = {"collections", "dataclasses", "enum", "typing"}
MAX_LINES, MAX_LINES_OF_A_FUNCTION, MAX_PARAMETERS = 400, 60, 5
MAX_LINES_OF_THE_PLAIN_STORE = 300
MANY_PARAMETERS = {"config/table.py": {"key"}}  # keyword-only: what a key of the config may declare

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))


def imports_of(module: Path) -> Iterator[str]:
    """Full names of what *module* imports anywhere in it, inside functions and for type checking too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (str(part.value) for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))


def layer_of(module: Path) -> str:
    """The folder of a module, or the name of one that lies beside the folders."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_layers(module: Path) -> set[str]:
    """The layers of this package that *module* imports from; the package itself is everybody's."""
    names = [name.split(".") for name in imports_of(module) if name.split(".")[0] == "prx_email_cli"]
    return {parts[1] for parts in names if len(parts) > 1} - {"__version__"}


def name_of(module: Path) -> str:
    """Its full name."""
    parts = ("prx_email_cli", *module.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_modules(module: Path) -> set[str]:
    """Full names of the modules of this package that *module* imports to run, at its top or inside a function."""
    tree = ast.parse(module.read_text())
    checks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    typing_only = {node for check in checks for node in ast.walk(check)}
    modules = {name_of(one) for one in MODULES}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node not in typing_only:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in modules else node.module)
    return found & modules


def unmarked_imports(source: str) -> list[str]:
    """The imports inside functions of *source* whose first line does not carry the mark ``# on use``."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inside = {node for function in functions for node in ast.walk(function)}
    imports = [node for node in inside if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = source.splitlines()
    return [ast.unparse(node) for node in imports if "  # on use" not in lines[node.lineno - 1]]


def printed_by(script: str) -> list[str]:
    """The words that *script* prints in a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_there_is_something_to_check() -> None:
    assert {layer_of(module) for module in MODULES} == {*BELOW, "__init__"}
    assert sum(len(own_layers(module)) for module in MODULES) > 50


@each_module
def test_imports_point_downward(module: Path) -> None:
    if layer_of(module) != "__init__":
        assert own_layers(module) <= BELOW[layer_of(module)]


@each_module
def test_smtp_stays_in_its_folder_and_sql_in_the_outbox(module: Path) -> None:
    for name in imports_of(module):
        home = KEPT_IN.get(name.split(".")[0])
        assert home is None or layer_of(module) == home, f"imports {name}"


@each_module
def test_only_the_outbox_knows_which_database_keeps_it(module: Path) -> None:
    for database in ("sqlite", "postgres"):
        named = {name for name in imports_of(module) if name.startswith(f"prx_email_cli.outbox.{database}")}
        knows = layer_of(module) == "outbox" and (database in module.parts or module.stem == "open")
        assert not named or knows, f"imports {named}"


def test_no_module_imports_itself_in_a_circle_not_even_inside_a_function() -> None:
    imports = {name_of(module): own_modules(module) for module in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' -> '.join((*path[path.index(name) :], name))}"
        if name not in done:
            for below in imports.get(name, ()):
                visit(below, (*path, name))
            done.add(name)

    for name in imports:
        visit(name, ())


@each_module
def test_an_import_inside_a_function_is_marked_as_one_that_most_commands_do_without(module: Path) -> None:
    assert not unmarked_imports(module.read_text())


def test_an_import_without_the_mark_is_found_however_deep_it_lies() -> None:
    assert unmarked_imports("import a\ndef f():\n    import b  # on use\n    if b:\n        import c\n") == ["import c"]


@pytest.mark.parametrize("module", ["schedule", "account", "worker", "attempt", "report", "rehearsal"])
def test_what_decides_in_a_delivery_opens_nothing_starts_nothing_and_reads_no_clock(module: str) -> None:
    names = {name.split(".")[0] for name in imports_of(PACKAGE / "delivery" / f"{module}.py")}
    assert names <= {*NO_IO, "prx_email_cli"}


@each_module
def test_a_module_fits_on_a_few_screens(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


def test_what_an_outbox_must_do_fits_in_a_few_lines_without_a_database() -> None:
    store = Path(__file__).parent / "support" / "memory_store.py"
    assert len(store.read_text().splitlines()) <= MAX_LINES_OF_THE_PLAIN_STORE


def functions_of(module: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function that *module* defines, also within others."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, functions)]


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The names of what a function takes; of a method, without the object."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether typer calls it, with every option of a command."""
    return any(one.annotation and ast.unparse(one.annotation) == "typer.Context" for one in function.args.args[:1])


@each_module
def test_a_function_fits_on_a_screen(module: Path) -> None:
    lines = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions_of(module)}
    assert {name for name, many in lines.items() if many > MAX_LINES_OF_A_FUNCTION} == set()


@each_module
def test_a_function_takes_few_things_unless_it_is_a_command(module: Path) -> None:
    many = {one.name for one in functions_of(module)
            if not is_command(one) and len(parameters_of(one)) > MAX_PARAMETERS}  # fmt: skip
    assert many == MANY_PARAMETERS.get(str(module.relative_to(PACKAGE)), set())


@each_module
def test_a_module_compiles_without_a_warning(module: Path) -> None:
    compile(module.read_text(), str(module), "exec")  # warnings are errors here


def test_a_transaction_opens_no_socket_reads_no_clock_and_starts_no_thread() -> None:
    names = imports_of(PACKAGE / "smtp" / "transaction.py")
    theirs = {name.split(".")[0] for name in names} - {"prx_email_cli"}
    assert theirs <= {"collections", "contextlib", "enum", "itertools", "typing"}


def test_what_is_checked_of_an_outbox_does_not_depend_on_its_database() -> None:
    for module in (PACKAGE / "checks").glob("*.py"):
        assert not [name for name in imports_of(module) if name.startswith("prx_email_cli.outbox.sqlite")], module


def test_the_rules_of_a_messages_life_do_no_io() -> None:
    assert {name.split(".")[0] for name in imports_of(PACKAGE / "outbox" / "lifecycle.py")} <= NO_IO


def test_only_what_a_command_needs_is_imported_to_start() -> None:
    script = f"""
import sys
import prx_email_cli.cli.main
print(*(name for name in {LAZY} if name in sys.modules))
"""
    assert printed_by(script) == []


@pytest.mark.parametrize("layer", ["mail", "outbox", "config"])
def test_a_lower_layer_can_be_used_without_the_others(layer: str) -> None:
    script = f"""
import importlib, pkgutil, sys
package = importlib.import_module("prx_email_cli.{layer}")
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module("prx_email_cli.{layer}." + module.name)
print(*sorted({{name.split(".")[1] for name in sys.modules if name.startswith("prx_email_cli.")}}))
"""
    assert set(printed_by(script)) <= {layer, "files", "children", "redaction", "errors"}
