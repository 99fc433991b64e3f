"""The modules of the package build on each other in one direction."""

import ast
from collections.abc import Iterator
from pathlib import Path

import gitops_policy

ROOT = Path(gitops_policy.__file__).parent
QUESTIONS = frozenset({"notations", "apis", "kubernetes", "argo", "prometheus"})
# What a part of the package may not import, by the part.
ABOVE = {
    "reading": {"kubernetes", "argo", "prometheus", "rules", "registry", "engine", "reports"},
    **{name: {"rules", "registry", "engine", "reports", "diff"} for name in QUESTIONS},
    "rules": {"rules", "engine", "reports", "diff", "commands", "runs"},
    "engine": {"rules", "reports", "diff", "commands"},
    "reports": {"rules", "engine", "diff", "commands"},
    "diff": {"rules", "commands"},
}


def imports(module: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each module of the package that a module imports from, and the names."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gitops_policy"):
            yield f"{node.module}.".removeprefix("gitops_policy."), [a.name for a in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("gitops_policy."):
                    yield f"{alias.name}.".removeprefix("gitops_policy."), []


def parts() -> dict[Path, str]:
    """Return each module of the package with the part that it belongs to."""
    modules = {path: path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py")}
    return {path: part.removesuffix(".py") for path, part in modules.items()}


def test_each_part_imports_only_what_is_below_it() -> None:
    modules = parts()
    assert set(modules.values()) >= set(ABOVE), "a part of the package has another name"
    upwards = [
        f"{module.relative_to(ROOT)} imports {imported}{name}"
        for module, part in modules.items()
        for imported, names in imports(module)
        for name in names or [""]
        if (imported or f"{name}.").partition(".")[0] in ABOVE.get(part, set())
    ]
    assert upwards == []


def test_no_module_imports_a_rule() -> None:
    """The registry finds them by walking through the package."""
    users = [
        f"{module.relative_to(ROOT)} imports {imported}{name}"
        for module in parts()
        for imported, names in imports(module)
        for name in names or [""]
        if f"{imported}{name}.".startswith("rules.")
    ]
    assert users == []


def test_no_module_imports_a_private_name_of_another() -> None:
    private = [
        f"{module.relative_to(ROOT)} imports {imported}{name}"
        for module in parts()
        for imported, names in imports(module)
        for name in names
        if name.startswith("_")
    ]
    assert private == []
