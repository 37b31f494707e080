"""Which package imports which: a module imports from its own package and from lower layers."""

import ast
import functools
import graphlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[2] / "src"
ROOT = "likewise"

LAYERS = (
    {"errors", "version"},
    {"io"},
    {"ops", "backbones", "data", "metrics", "viz"},
    {"models", "weights", "engine"},
    {"predict"},
    {"jobs", "evaluate", "export", "train"},
    {"app", "serve"},
    {"cli"},
    {"__init__", "__main__"},
)
"""From the lowest layer to the highest: the packages and modules of `likewise`."""

SIBLINGS = {
    ("backbones", "ops"),
    ("metrics", "data"),
    ("weights", "models"),
    ("engine", "models"),
    ("engine", "weights"),
    ("evaluate", "jobs"),
}
"""Imports allowed within a layer: (importing, imported)."""

WITHOUT_TORCH = (
    "app", "backbones.normalisation", "cli", "engine.onnx", "engine.protocol", "errors", "io", "jobs", "ops.bilinear",
    "ops.consensus", "ops.distance", "ops.guided_filter", "ops.hypercorrelation.masks", "ops.hypercorrelation.products",
    "ops.hypercorrelation.supports", "ops.presence", "ops.prototypes", "ops.shots", "predict.co_saliency",
    "predict.concept", "predict.consensus", "predict.edges", "predict.engines", "predict.equality", "predict.examples",
    "predict.few_shot", "predict.group_health", "predict.heads.features", "predict.heads.hsnet", "predict.heads.open",
    "predict.heads.panet", "predict.heads.protocol", "predict.heads.prototypes", "predict.inputs", "predict.instances",
    "predict.map_folder", "predict.onnx_saliency", "predict.presence", "predict.pretrained", "predict.result",
    "predict.saliency", "predict.scene_parser", "predict.segmenter", "predict.selector", "predict.selector_planes",
    "predict.windows", "predict.worlds", "serve", "train.recipes.load", "train.samples.sources", "version", "viz",
    "weights.__init__", "weights.exported", "weights.names",
)  # fmt: skip
"""Packages (with all their modules) and modules that run where torch is not installed."""

TORCH = {"torch", "torchvision", "timm", "lightning_fabric", "safetensors.torch"}
"""Packages that import torch."""


class Import(NamedTuple):
    """An import statement's target; `when` is "load", "call" (inside a function) or "types" (for type checkers)."""

    target: str
    when: str


@functools.cache
def modules() -> dict[str, Path]:
    """Return the file of each module by its dotted name; that of a package ends in `.__init__`."""
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}


def resolve(name: str) -> str:
    """Return the name in `modules` of an imported module or package; other names unchanged."""
    return f"{name}.__init__" if f"{name}.__init__" in modules() else name


def statements(node: ast.AST, when: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        inner = when
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "call"
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = "types"
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inner
        yield from statements(child, inner)


@functools.cache
def imports(module: str) -> frozenset[Import]:
    """Return the imports of a module, those of a package's submodules under the submodule's name."""
    found = set()
    for statement, when in statements(ast.parse(modules()[module].read_text(encoding="utf-8")), "load"):
        if isinstance(statement, ast.Import):
            found |= {Import(resolve(alias.name), when) for alias in statement.names}
            continue
        assert statement.level == 0, f"{module}: relative import"
        for alias in statement.names:
            name = resolve(f"{statement.module}.{alias.name}")
            found.add(Import(name if name in modules() else resolve(statement.module or ""), when))
    return frozenset(found)


def package(module: str) -> str:
    return module.split(".")[1]


def rank(module: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if package(module) in layer)


def inner_imports() -> list[tuple[str, Import]]:
    """Return all imports between different packages of `likewise`, including those for type checkers."""
    found = [(module, one) for module in modules() for one in imports(module) if one.target in modules()]
    return [(module, one) for module, one in found if package(module) != package(one.target)]


def check_order(graph: dict[str, set[str]]) -> None:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_every_module_belongs_to_a_layer():
    assert {package(module) for module in modules()} == set().union(*LAYERS)


def test_every_module_named_here_exists():
    for name in WITHOUT_TORCH:
        assert {f"{ROOT}.{name}", f"{ROOT}.{name}.__init__"} & modules().keys(), name


def test_no_module_imports_from_a_higher_layer():
    upward = [f"{module} -> {one.target}" for module, one in inner_imports() if rank(one.target) > rank(module)]
    assert upward == []


def test_within_a_layer_only_the_listed_packages_import_each_other():
    level = {
        (package(module), package(one.target)) for module, one in inner_imports() if rank(one.target) == rank(module)
    }
    assert level <= SIBLINGS


def test_packages_form_no_cycle():
    graph = defaultdict(set)
    for module, one in inner_imports():
        graph[package(module)].add(package(one.target))
    check_order(graph)


def test_modules_form_no_cycle():
    """Imports within functions count, those for type checkers do not."""
    graph = {
        module: {one.target for one in imports(module) if one.when != "types" and one.target in modules()} - {module}
        for module in modules()
    }
    check_order(graph)


def loaded(target: str) -> list[str]:
    """Return what an import loads: the packages around the target, then the target."""
    parts = target.split(".")
    return [*(f"{'.'.join(parts[:end])}.__init__" for end in range(1, len(parts) - (parts[-1] == "__init__"))), target]


def way_to_torch(module: str) -> list[str] | None:
    """Return a chain of imports that run as `module` is loaded and end in torch; None if there is none."""
    ways, seen = [[module]], {module}
    while ways:
        way = ways.pop()
        for one in imports(way[-1]):
            if one.when == "load" and (one.target in TORCH or one.target.split(".")[0] in TORCH):
                return [*way, one.target]
            for name in loaded(one.target) if one.when == "load" else ():
                if name in modules() and name not in seen:
                    seen.add(name)
                    ways.append([*way, name])
    return None


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_loading_a_module_does_not_import_torch(name: str):
    below = f"{ROOT}.{name.removesuffix('.__init__')}"
    family = [module for module in modules() if module == f"{ROOT}.{name}" or module.startswith(f"{below}.")]
    for module in family if not name.endswith(".__init__") else [f"{ROOT}.{name}"]:
        for part in loaded(module):
            way = way_to_torch(part)
            assert way is None, " -> ".join(way or [])
