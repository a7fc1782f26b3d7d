"""Functions in containers, on machines of your own: declare them, call them, run the file with ``gx run``.

    import gx

    app = gx.App("hello")

    @app.function()
    def square(x: int) -> int:
        return x * x

    @app.local_entrypoint()
    def main():
        print(square.remote(7))

Importing this costs next to nothing: names are loaded when they are used.
"""

from __future__ import annotations

from gx._version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from gx import billing as billing
    from gx import exception as exception
    from gx import experimental as experimental
    from gx import gpu as gpu
    from gx import types as types
    from gx._ids import current_function_call_id as current_function_call_id
    from gx._ids import current_input_id as current_input_id
    from gx._ids import interact as interact
    from gx._ids import is_local as is_local
    from gx._session import enable_output as enable_output
    from gx.app import App as App
    from gx.client import Client as Client
    from gx.cloud_bucket_mount import CloudBucketMount as CloudBucketMount
    from gx.cls import Cls as Cls
    from gx.dict import Dict as Dict
    from gx.environments import Environment as Environment
    from gx.exception import Error as Error
    from gx.file_pattern_matcher import FilePatternMatcher as FilePatternMatcher
    from gx.function import Function as Function
    from gx.function import FunctionCall as FunctionCall
    from gx.image import Image as Image
    from gx.mount import Mount as Mount
    from gx.network_file_system import NetworkFileSystem as NetworkFileSystem
    from gx.network_file_system import SharedVolume as SharedVolume
    from gx.partial_function import asgi_app as asgi_app
    from gx.partial_function import batched as batched
    from gx.partial_function import build as build
    from gx.partial_function import clustered as clustered
    from gx.partial_function import concurrent as concurrent
    from gx.partial_function import enter as enter
    from gx.partial_function import exit as exit
    from gx.partial_function import fastapi_endpoint as fastapi_endpoint
    from gx.partial_function import method as method
    from gx.partial_function import parameter as parameter
    from gx.partial_function import web_endpoint as web_endpoint
    from gx.partial_function import web_server as web_server
    from gx.partial_function import wsgi_app as wsgi_app
    from gx.proxy import Proxy as Proxy
    from gx.queue import Queue as Queue
    from gx.retries import Retries as Retries
    from gx.sandbox import Probe as Probe
    from gx.sandbox import Sandbox as Sandbox
    from gx.schedule import Cron as Cron
    from gx.schedule import Period as Period
    from gx.scheduler_placement import SchedulerPlacement as SchedulerPlacement
    from gx.secret import Secret as Secret
    from gx.server import Server as Server
    from gx.snapshot import SandboxSnapshot as SandboxSnapshot
    from gx.tunnel import Tunnel as Tunnel
    from gx.tunnel import forward as forward
    from gx.volume import Volume as Volume
    from gx.workspace import Workspace as Workspace

# Where each name is. Submodules of the same name as one of their classes, but
# for its case, are modules still: gx.dict, gx.Dict.
_NAMES = {
    "App": "app", "Client": "client", "CloudBucketMount": "cloud_bucket_mount", "Cls": "cls", "Cron": "schedule",
    "Dict": "dict", "Environment": "environments", "Error": "exception", "FilePatternMatcher": "file_pattern_matcher",
    "Function": "function", "FunctionCall": "function", "Image": "image", "Mount": "mount",
    "NetworkFileSystem": "network_file_system", "Period": "schedule", "Probe": "sandbox", "Proxy": "proxy",
    "Queue": "queue", "Retries": "retries", "Sandbox": "sandbox", "SandboxSnapshot": "snapshot",
    "SchedulerPlacement": "scheduler_placement", "Secret": "secret", "Server": "server",
    "SharedVolume": "network_file_system", "Tunnel": "tunnel",
    "Volume": "volume", "Workspace": "workspace", "asgi_app": "partial_function", "batched": "partial_function",
    "build": "partial_function", "clustered": "partial_function", "concurrent": "partial_function",
    "current_function_call_id": "_ids", "current_input_id": "_ids", "enable_output": "_session",
    "enter": "partial_function", "exit": "partial_function", "fastapi_endpoint": "partial_function",
    "forward": "tunnel", "interact": "_ids", "is_local": "_ids", "method": "partial_function",
    "parameter": "partial_function", "web_endpoint": "partial_function", "web_server": "partial_function",
    "wsgi_app": "partial_function",
}  # fmt: skip
_MODULES = (
    "app", "billing", "call_graph", "client", "cloud_bucket_mount", "cls", "dict", "environments", "exception", "experimental",
    "file_pattern_matcher", "function", "function_call", "functions", "gpu", "image", "mount", "network_file_system", "output",
    "partial_function", "proxy", "queue", "retries", "sandbox", "schedule", "scheduler_placement", "secret", "server",
    "snapshot", "tunnel", "types", "volume", "workspace",
)  # fmt: skip

__all__ = [*_NAMES, "billing", "exception", "experimental", "gpu", "types"]


def __getattr__(name: str) -> Any:
    import sys

    module = _NAMES.get(name)
    if module is not None:
        full = f"{__name__}.{module}"
        __import__(full)
        value = globals()[name] = getattr(sys.modules[full], name)
        return value
    if name in _MODULES:
        full = f"{__name__}.{name}"
        __import__(full)
        return sys.modules[full]
    if name == "Stub":
        from gx._ids import stub

        return stub
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted([*globals(), *_NAMES, *_MODULES])
