"""Rules of the repository that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("stack", "hdl", "sim", "boards", "tb") for path in (ROOT / folder).rglob("*.py"))


def _ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.is_relative_to(ROOT / "stack")], ids=_ids)
def test_stack_imports_only_the_standard_library_and_itself(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.split(".")[0] in sys.stdlib_module_names, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            assert node.module.split(".")[0] in sys.stdlib_module_names, node.module


@pytest.mark.parametrize("path", SOURCES, ids=_ids)
def test_modules_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"


def _imported(path: Path) -> set[Path]:
    """Return the modules of ours that one imports as it is loaded."""
    found: set[Path] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = [base, *(base / alias.name for alias in node.names)]
            found.update(name.with_suffix(".py") for name in names if name.with_suffix(".py").exists())
    return found


def test_a_module_of_the_stack_can_be_the_first_one_imported() -> None:
    needs = {path: _imported(path) for path in SOURCES if path.is_relative_to(ROOT / "stack")}
    needs = {path: wanted & needs.keys() for path, wanted in needs.items()}
    while True:  # Only those on a circle, or between two, can fail.
        needed = set[Path]().union(*needs.values())
        left = {path: wanted & needs.keys() for path, wanted in needs.items() if path in needed and wanted}
        if left == needs:
            break
        needs = left
    for path in needs:
        name = ".".join(("hardwire", *path.relative_to(ROOT).with_suffix("").parts))
        ran = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False)
        assert not ran.returncode, f"import {name}: {ran.stderr}"
