"""The repository's own rules: rooms import one way, files are small and say what they are for, nothing is left over."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "longodds"
PROBLEMS = PACKAGE / "tasks" / "cpu"  # KernelBench's file format: what a user would write
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if PROBLEMS not in p.parents)
MOST_LINES = 400

# Whatever a text file must not hold, with the reason; pieced together so that this file does not hold it either.
LEFT_OVER = {
    r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b": "work left undone",
    r"(?<![\w.~>-])/(?:work|root|home/\w+|Users/\w+)/": "a path of somebody's machine",
    r"\b(?:files\.)?(?:pypi|pythonhosted)" + r"\.org\b": "a registry's host: clients know theirs",
    r"^(?:<{7}|>{7}) ": "a merge conflict",
}


def tracked() -> list[Path]:
    """The files under version control, or every file that is not obviously built where there is no git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    built = {".venv", "__pycache__", "runs", "build", "dist", ".git"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not built & set(p.relative_to(ROOT).parts)]


def text_of(path: Path) -> str | None:
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8")


def test_there_is_something_to_check():
    assert len(MODULES) > 50
    assert len(tracked()) > len(MODULES)


def test_rooms_import_one_way():
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert f"Contracts: {len(contracts)} kept, 0 broken." in done.stdout


def test_every_room_is_in_the_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    named = {room.strip() for layer in contract["layers"] for room in layer.split("|")}
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {f"longodds.{room}" for room in rooms - {"__init__", "__main__"}} == named


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_is_short_and_says_what_it_is_for(path: Path):
    source = path.read_text("utf-8")
    assert source.count("\n") <= MOST_LINES, f"{path.name}: split it by what its parts are for"
    assert ast.get_docstring(ast.parse(source)), f"{path.name}: opens without a docstring"


def test_only_the_command_line_prints():
    printing = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in MODULES
        if "cli" not in path.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_nothing_is_left_over():
    found: list[str] = []
    for path in tracked():
        text = text_of(path)
        for pattern, reason in LEFT_OVER.items() if text is not None else ():
            for match in re.finditer(pattern, text or "", re.MULTILINE):
                line = (text or "").count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line}: {match[0]!r}: {reason}")
    assert found == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1  # TO" + "DO: later", "work left undone"),
        ("open('/ro" + "ot/data')", "a path of somebody's machine"),
        ("see /ho" + "me/me/notes", "a path of somebody's machine"),
        ("https://pypi" + ".org/simple", "a registry's host: clients know theirs"),
        ("<<<<<<" + "< HEAD", "a merge conflict"),
    ],
)
def test_the_patterns_find_what_they_are_for(text: str, reason: str):
    assert [why for pattern, why in LEFT_OVER.items() if re.search(pattern, text, re.MULTILINE)] == [reason]


def test_nothing_is_a_stub():
    stubs = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node)
    ]
    assert stubs == []


def test_links_between_documents_lead_somewhere():
    broken: list[str] = []
    for page in [p for p in tracked() if p.suffix == ".md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            local = target.partition("#")[0]
            elsewhere = "://" in target or target.startswith("mailto:") or not local
            if not elsewhere and not (page.parent / local).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_version_is_the_same_everywhere():
    import longodds

    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(rf"^version: {re.escape(longodds.__version__)}$", citation, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## \[(.+?)\]", changes, re.MULTILINE)
    assert newest is not None
    assert newest[1] in ("Unreleased", longodds.__version__)
