"""What of a user's Python files decides how a container is once it is ready: its shape.

A container imports modules, makes an instance or an application, and runs enter
hooks. All that this executes is in the shape; the bodies of functions that wait
to be called are not. So as long as the shape stays, new code can be put into
functions that exist, and what was made of the others is still right.

What is executed by whom is judged by names, without running anything: a function
is taken for executed if something that is executed mentions its name. That may
be wrong in one direction only, in which containers are replaced though they
could have gone on.
"""

from __future__ import annotations

import ast
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

MOST = 2000  # files; an app of more has no shape
_LARGEST = 1 << 20  # bytes of one file

# Decorators by the last part of their name. Those of the first kind make a
# function one that is executed while a container starts or ends, ...
_STARTS = frozenset(("enter", "exit", "asgi_app", "wsgi_app", "web_server", "on_event", "on_startup", "on_shutdown"))
# ... those of the second one that only waits for calls or requests, whoever mentions it.
_WAITS = frozenset(("function", "method", "batched", "fastapi_endpoint", "web_endpoint", "local_entrypoint"))
# Methods that are executed when their class is made, or an instance of it.
_MAKES = frozenset(("__init__", "__new__", "__post_init__"))
_ALWAYS = frozenset(("__init_subclass__", "__set_name__", "__class_getitem__", "__prepare__"))
# What these are given is kept for later, and not called.
_KEEPS = frozenset(
    ("Depends", "Security", "add_api_route", "add_route", "add_api_websocket_route", "add_websocket_route", "add_exception_handler",
     "add_url_rule", "Route", "WebSocketRoute", "APIRoute", "partial")
)  # fmt: skip


class _Code:
    """A piece of code as it is executed at one time: a module with its classes' bodies, or one function's body."""

    __slots__ = ("name", "holder", "starts", "waits", "words", "names")

    def __init__(self, name: str, holder: str) -> None:
        self.name = name
        self.holder = holder  # the class that it is in, or ""
        self.starts = False
        self.waits = False
        self.words: List[str] = []  # all of it, but for the bodies of functions that it defines
        self.names: Set[str] = set()  # what it mentions


class Skeleton:
    """One file: the code of its module, and of each of its functions."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = _Code("", "")
        self.functions: List[_Code] = []
        self.classes: Dict[str, bool] = {}  # by name: whether instances are made in each container
        self._block(tree.body, self.module, "")

    def _block(self, statements: Iterable[ast.AST], code: _Code, holder: str) -> None:
        for statement in statements:
            self._node(statement, code, holder)

    def _node(self, node: Any, code: _Code, holder: str) -> None:
        kind = type(node)
        words = code.words
        words.append(kind.__name__)
        if kind is ast.Name:
            words.append(node.id)
            code.names.add(node.id)
        elif kind is ast.Attribute:
            words.append(node.attr)
            code.names.add(node.attr)
            self._node(node.value, code, holder)
        elif kind in (ast.FunctionDef, ast.AsyncFunctionDef):
            self._function(node, code, holder)
        elif kind is ast.Lambda:
            self._signature(node.args, code, holder)
            self._deferred(node.body, code, holder)
        elif kind is ast.ClassDef:
            self._class(node, code, holder)
        elif kind is ast.Return and type(node.value) is ast.Name:
            words.append(node.value.id)  # handed on, not called
        elif kind is ast.AnnAssign:
            self._quietly(node.annotation, code, holder)
            self._fields(node, code, holder, ("target", "value", "simple"))
        elif kind is ast.Call and _last(node.func) in _KEEPS:
            self._node(node.func, code, holder)
            self._quietly(node, code, holder)
        elif kind is ast.If and _main(node.test):
            self._quietly(node, code, holder)
        else:
            self._fields(node, code, holder, node._fields)

    def _fields(self, node: Any, code: _Code, holder: str, fields: Iterable[str]) -> None:
        words = code.words
        for field in fields:
            if field == "ctx":
                continue
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                self._node(value, code, holder)
            elif isinstance(value, list):
                words.append("[")
                for one in value:
                    if isinstance(one, ast.AST):
                        self._node(one, code, holder)
                    else:
                        words.append(repr(one))
                words.append("]")
            else:
                words.append(repr(value))

    def _quietly(self, node: Any, code: _Code, holder: str) -> None:
        """A part that is in the code, and whose names do not count as executed."""
        if node is None:
            code.words.append("-")
            return
        aside = _Code("", "")
        self._fields(node, aside, holder, node._fields)
        code.words += [type(node).__name__, *aside.words]

    def _deferred(self, body: Any, code: _Code, holder: str) -> None:
        """The body of a lambda: what it mentions may be executed by whoever gets it."""
        inner = _Code("<lambda>", holder)
        self._node(body, inner, holder)
        code.words += inner.words
        code.names |= inner.names

    def _signature(self, args: Any, code: _Code, holder: str) -> None:
        """Parameters: defaults are executed where the function is defined, annotations are not."""
        code.words.append("(")
        for group in (getattr(args, "posonlyargs", []), args.args, [args.vararg], args.kwonlyargs, [args.kwarg]):
            code.words.append("/")
            for arg in group:
                code.words.append("-" if arg is None else arg.arg)
                self._quietly(None if arg is None else arg.annotation, code, holder)
        for default in [*args.defaults, *args.kw_defaults]:
            if default is None:
                code.words.append("-")
            else:
                self._node(default, code, holder)
        code.words.append(")")

    def _function(self, node: Any, code: _Code, holder: str) -> None:
        words = code.words
        made = _Code(node.name, holder)
        words += [node.name, "yields" if _yields(node.body) else "returns"]
        for decorator in node.decorator_list:
            self._node(decorator, code, holder)
            last = _last(decorator)
            made.starts |= last in _STARTS or "cache" in last
            made.waits |= last in _WAITS
        self._signature(node.args, code, holder)
        self._quietly(node.returns, code, holder)
        for one in getattr(node, "type_params", ()):
            self._quietly(one, code, holder)
        if node.decorator_list:  # who decorates it may have read its documentation
            words.append(repr(ast.get_docstring(node, clean=False)))
        made.starts |= node.name in _ALWAYS
        self.functions.append(made)
        self._block(node.body, made, "")

    def _class(self, node: Any, code: _Code, holder: str) -> None:
        code.words.append(node.name)
        for decorator in node.decorator_list:
            self._node(decorator, code, holder)
        for base in node.bases:
            self._quietly(base, code, holder)
        self._fields(node, code, holder, ("keywords",))
        for one in getattr(node, "type_params", ()):
            self._quietly(one, code, holder)
        self.classes[node.name] = self.classes.get(node.name, False) or any(_last(d) == "cls" for d in node.decorator_list)
        code.words.append("{")
        self._block(node.body, code, node.name)
        code.words.append("}")


def _last(expression: Any) -> str:
    """The last part of what a decorator, or a call, names."""
    if type(expression) is ast.Call:
        expression = expression.func
    if type(expression) is ast.Attribute:
        return str(expression.attr)
    return str(expression.id) if type(expression) is ast.Name else ""


def _main(test: Any) -> bool:
    """Whether a condition is __name__ == "__main__", which is false in containers."""
    return (
        type(test) is ast.Compare
        and type(test.left) is ast.Name
        and test.left.id == "__name__"
        and len(test.ops) == 1
        and type(test.ops[0]) is ast.Eq
        and getattr(test.comparators[0], "value", None) == "__main__"
    )


def _yields(body: Iterable[ast.AST]) -> bool:
    """Whether a function with this body is a generator."""
    todo = list(body)
    while todo:
        node = todo.pop()
        if type(node) in (ast.Yield, ast.YieldFrom):
            return True
        if type(node) not in (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))
    return False


class Shapes:
    """The shapes of apps. Skeletons of files that have not changed are kept."""

    def __init__(self) -> None:
        self._known: Dict[str, Tuple[Any, Optional[Skeleton]]] = {}

    def prepare(self, paths: Iterable[str]) -> None:
        """Reads files that will be asked for."""
        for path in paths:
            if path.endswith(".py"):
                self._skeleton(path)

    def add(self, manifest: Dict[str, Any]) -> None:
        """Notes in a manifest the shape of each function, as far as it has one."""
        known: Dict[Tuple[int, ...], str] = {}
        for function in manifest["functions"]:
            kinds = [web.get("kind") for web in [function.get("web"), *[m.get("web") for m in function.get("methods") or ()]] if web]
            if function.get("payload") or "server" in kinds:
                continue  # what runs is elsewhere
            mounts = tuple(function.get("mounts") or ())
            if mounts not in known:
                files = {f["remote"]: f["local"] for i in mounts for f in manifest["mounts"][i]["files"] if f.get("local") and f["remote"].endswith(".py")}
                known[mounts] = self._shape(files)
            if known[mounts]:
                function["shape"] = known[mounts]

    def _skeleton(self, path: str) -> Optional[Skeleton]:
        """A file's; None if it is not Python, or too large."""
        try:
            info = os.stat(path)
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            made = None
            if info.st_size <= _LARGEST:
                with open(path, "rb") as file:
                    made = Skeleton(ast.parse(file.read()))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        self._known[path] = (stamp, made)
        return made

    def _shape(self, files: Dict[str, str]) -> str:
        from hashlib import sha256

        if not files or len(files) > MOST:
            return ""
        skeletons: List[Tuple[str, Skeleton]] = []
        for remote in sorted(files):
            made = self._skeleton(files[remote])
            if made is None:
                return ""
            skeletons.append((remote, made))
        executed = _executed([made for _, made in skeletons])
        digest = sha256()
        for remote, made in skeletons:
            digest.update(remote.encode())
            for code in [made.module, *[f for f in made.functions if id(f) in executed]]:
                digest.update(("\0" + code.holder + "." + code.name + "\0" + "\0".join(code.words)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:32]


def _executed(skeletons: List[Skeleton]) -> Set[int]:
    """The functions, by id, that are executed before there is anything to do."""
    by_name: Dict[str, List[_Code]] = {}
    makers: Dict[str, List[_Code]] = {}
    todo: List[_Code] = [made.module for made in skeletons]
    for made in skeletons:
        for code in made.functions:
            if not code.waits:
                by_name.setdefault(code.name, []).append(code)
            if code.name in _MAKES:
                makers.setdefault(code.holder, []).append(code)
                code_starts = made.classes.get(code.holder, False)
            else:
                code_starts = False
            if (code.starts or code_starts) and not code.waits:
                todo.append(code)
    found: Set[int] = set()
    mentioned: Set[str] = set()
    while todo:
        code = todo.pop()
        if id(code) in found:
            continue
        found.add(id(code))
        for name in code.names - mentioned:
            mentioned.add(name)
            todo += by_name.get(name, [])
            todo += makers.get(name, [])
    return found
