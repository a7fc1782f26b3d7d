"""The layers of the SDK: a module imports those of its own layer and of the ones below, and never one above.

That counts for imports within functions too, which are there so that a program,
and a container before all, loads only what it uses. Names that only annotations
need (TYPE_CHECKING) do not count.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, Set

PACKAGE = Path(__file__).parents[1] / "gx"

# From the bottom to the top.
LAYERS = {
    "values and errors: they know nothing of a host": """
        exception _version _planned _place _notices _dual _environment _ids _runner _runner.state
        _members _signature _parameters _inputs _dotenv retries schedule gpu types file_pattern_matcher
        client cloud_bucket_mount experimental network_file_system proxy sandbox scheduler_placement server
        snapshot tunnel workspace call_graph""",
    "local files: which of them containers get": "_files _ignore _tree _sources",
    "the wire: frames, payloads, the connection that carries them": "_frames _payload _receiver _wire _control _failures",
    "calls and questions: what is said over a connection": """
        _callee _client _aio _generator _map _feeders _host _ask _questions _logs""",
    "what the host keeps: objects that are found by name": """
        _stored _file_entry _volume_upload dict queue secret volume environments billing function_call""",
    "what a function needs: its image, code, settings": """
        _recipe _packages _projects _dockerfile _serialized _code _build_function _imports image mount
        _volume_mounts _settings _variant""",
    "what can be called": """
        _named _named_function _named_cls _references _local function functions cls partial_function _class_checks""",
    "apps: what they declare, as data, and how they run": "_former _manifest _session output _running _declare app",
    "programs that gx starts": "_report _entry _flags _shape _program _serve _call _cli",
    "containers": """
        _runner.kinds _runner.errors _runner.masking _runner.answers _runner.batches _runner.output _runner.exchange _runner.docs
        _runner.asgi _runner.wsgi _runner.fastapi _runner.server _runner.web _runner.aio _runner.serial _runner.threads
        _runner.swap _runner.service _runner.build _runner.guards _runner.renewal _runner.isolate _runner.fork
        _runner.runner _runner.template _runner.main""",
}

# Modules that need each other, and why.
CIRCLES = [
    # Function.from_name makes a kind of Function, and so does unpickling one; the same for Cls.
    {"function", "_named_function", "cls", "_named_cls", "_references"},
]


def test_every_module_is_in_a_layer() -> None:
    named = [module for layer in LAYERS.values() for module in layer.split()]
    assert sorted(named) == sorted(_modules())


def test_imports_go_down() -> None:
    height = {module: number for number, layer in enumerate(LAYERS.values()) for module in layer.split()}
    wrong = [
        f"{module} imports {other}"
        for module, others in _imports().items()
        for other in others
        if height[other] > height[module]
    ]
    assert not wrong


def test_circles_are_known() -> None:
    imports = _imports()
    reached = {module: _reach(module, imports) for module in imports}
    found = {module: frozenset([other for other in reached[module] if module in reached[other]]) for module in imports}
    circles = {circle for circle in found.values() if len(circle) > 1}
    assert circles == {frozenset(circle) for circle in CIRCLES}


def _modules() -> Dict[str, Path]:
    """The modules of the package by name, but for the package itself, whose names are all of these."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


@lru_cache(maxsize=None)
def _imports() -> Dict[str, Set[str]]:
    """Which modules each module imports, wherever in it."""
    modules = _modules()
    return {
        name: {other for node in _nodes(ast.parse(path.read_text())) for other in _named(node, modules) if other != name}
        for name, path in modules.items()
    }


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """What is below a node, but for what only annotations need."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes(node)


def _named(node: ast.AST, modules: Dict[str, Path]) -> List[str]:
    """The modules of the package that a statement imports."""
    names: List[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "the SDK's imports are absolute"
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name if name.partition(".")[2] in modules else str(node.module) for name in inner]
    return [name.partition(".")[2] for name in names if name.startswith("gx.")]


def _reach(module: str, imports: Dict[str, Set[str]]) -> Set[str]:
    """All that a module needs, and what that needs in turn."""
    seen: Set[str] = set()
    todo = [module]
    while todo:
        for other in imports[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen
