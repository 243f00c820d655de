"""The shape of the package: which way imports run, what is public, what an error is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import daydream_motives
from daydream_motives import errors

PACKAGE = Path(daydream_motives.__file__).parent
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "shipped" not in p.parts)

# What each part may import of the others, whatever the depth of the import.
_LOW = {"errors", "settings"}
_MOTIVES = _LOW | {"characters", "motives"}
_MIDDLE = _MOTIVES | {"engine", "modelstore", "journal", "records"}
MAY = {
    "errors": set(),
    "settings": {"errors"},
    "characters": _LOW,
    "motives": _LOW | {"characters"},
    "engine": _MOTIVES | {"modelstore"},
    "modelstore": _MOTIVES | {"engine"},
    "journal": _MOTIVES | {"records"},
    "records": _MOTIVES,
    "simulation": _MIDDLE,
    "decide": _MIDDLE | {"simulation"},
    "exchange": _MOTIVES | {"simulation"},
    "command_group": {"errors"},
    "cli": _MIDDLE | {"simulation", "decide", "bench", "exchange", "report", "command_group", ""},
    "bench": _MIDDLE | {"simulation"},
    "report": _MIDDLE | {"simulation"},
    "training": _MIDDLE | {"command_group"},
    "__main__": {"cli"},
    "": set(),  # the package itself: everything only for type checkers, or by name when first used
}
ONLY_TRAINING = {"torch", "transformers", "peft", "bitsandbytes", "datasets", "accelerate"}
LONG: dict[str, str] = {}
PUBLIC = """Backend BackendSpec Character CharacterSheet DaydreamError Decision Entity Journal Lore
    Memory ModelStore MotiveContext MotiveEngine Note Outcome Person Purpose RankedPurposes
    Relationship RelationshipGraph Rules Simulation Situation Stats Ticket TownRules Verb World
    build_context run_worker_if_asked""".split()
EXIT_CODES = {
    "DaydreamError": 1, "SettingsError": 2, "ContentError": 3, "StoreError": 4,
    "BackendError": 5, "RunError": 6, "Refused": 7,
}  # fmt: skip


def part_of(module: str) -> str:
    """`daydream_motives.engine.llama` -> `engine`."""
    return [*module.split("."), ""][1]


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Every module a file imports and whether inside a function; not those for type checkers."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{file}: a relative import"
                yield child.module or "", inside
                # `from daydream_motives import journal` names a module too.
                if child.module == "daydream_motives":
                    yield from (
                        (f"daydream_motives.{a.name}", inside)
                        for a in child.names
                        if (PACKAGE / a.name).is_dir() or (PACKAGE / f"{a.name}.py").exists()
                    )
            deeper = inside or isinstance(
                child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            )
            yield from walk(child, deeper)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), False)


def home_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def name_of(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_run_downwards(file: Path) -> None:
    home = home_of(file)
    assert home in MAY, f"{home} has no place in the order yet"
    parts = {part_of(m) for m, _ in imports(file) if m.split(".")[0] == "daydream_motives"}
    assert parts <= MAY[home] | {home}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_training_imports_the_libraries_of_training(file: Path) -> None:
    roots = {module.split(".")[0] for module, _ in imports(file)}
    assert home_of(file) == "training" or not roots & ONLY_TRAINING


@pytest.mark.parametrize("file", sorted((PACKAGE / "engine").rglob("*.py")), ids=name_of)
def test_the_engine_reaches_the_store_only_inside_functions(file: Path) -> None:
    assert not [m for m, inside in imports(file) if part_of(m) == "modelstore" and not inside]


def test_the_import_finder_sees_what_it_should(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        "import torch\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import peft\n"
        "def f():\n    from daydream_motives import journal\n"
    )
    assert set(imports(file)) == {
        ("torch", False), ("typing", False),
        ("daydream_motives", True), ("daydream_motives.journal", True),
    }  # fmt: skip


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {*ONLY_TRAINING, "llama_cpp", "pydantic", "networkx", "numpy", "yaml"}
    code = f"import sys, daydream_motives; print(*({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_simulation_loads_no_llama_cpp_until_it_is_needed() -> None:
    code = "import sys, daydream_motives as d; d.Simulation; d.MotiveEngine('scripted').close();"
    code += "print(*({'torch', 'llama_cpp'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_public_names_are_pinned() -> None:
    assert daydream_motives.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_resolve(name: str) -> None:
    assert getattr(daydream_motives, name).__name__ == name
    assert name in dir(daydream_motives)


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = daydream_motives.Nonsense


def error_classes() -> list[type[errors.DaydreamError]]:
    found = [v for v in vars(errors).values() if isinstance(v, type)]
    return [v for v in found if issubclass(v, errors.DaydreamError)]


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^([│ ]*(?:[├└]── )?)([A-Z]\w+)  ", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            drawn[match[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {c.__name__: c.__bases__[0].__name__ for c in error_classes()}


def test_error_codes_are_unique() -> None:
    codes = [c.__dict__.get("code") for c in error_classes()]
    assert None not in codes
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", error_classes(), ids=lambda c: c.__name__)
def test_every_error_has_the_exit_code_of_its_branch(error: type[errors.DaydreamError]) -> None:
    branch = next(c.__name__ for c in error.__mro__ if c.__name__ in EXIT_CODES)
    assert error.exit_code == EXIT_CODES[branch]


def test_exit_codes_are_those_the_command_line_documents() -> None:
    text = (PACKAGE / "cli" / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    documented = {int(n) for n in re.findall(r"(?:^|[:;] )(\d+) ", text, re.MULTILINE)}
    assert documented == {0, 130, *EXIT_CODES.values()}


@pytest.mark.parametrize("remedy", ["", "do this"])
def test_an_error_tells_its_remedy(remedy: str) -> None:
    text = str(errors.RunError("it broke", remedy=remedy))
    assert text == ("it broke\n  -> do this" if remedy else "it broke")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_content_error_lists_every_problem(count: int) -> None:
    problems = [errors.Problem("f.yaml", f"a.{i}", "1", "2") for i in range(count)]
    lines = str(errors.WorldError(problems)).splitlines()
    assert lines[0] == f"{count} problem{'' if count == 1 else 's'} in this world:"
    assert len(lines) == count + 1


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_stay_short(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= 400 or LONG.get(name_of(file)), f"{lines} lines want a second look"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_module_says_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
