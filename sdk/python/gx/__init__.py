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

    from gx import exception as exception
    from gx import experimental as experimental
    from gx import gpu as gpu
    from gx._ids import current_function_call_id as current_function_call_id
    from gx._ids import current_input_id as current_input_id
    from gx._ids import is_local as is_local
    from gx._session import enable_output as enable_output
    from gx.app import App as App
    from gx.billing import billing as billing
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
    from gx.partial_function import asgi_app as asgi_app
    from gx.partial_function import batched as batched
    from gx.partial_function import build as build
    from gx.partial_function import concurrent as concurrent
    from gx.partial_function import enter as enter
    from gx.partial_function import exit as exit
    from gx.partial_function import fastapi_endpoint as fastapi_endpoint
    from gx.partial_function import method as method
    from gx.partial_function import parameter as parameter
    from gx.partial_function import web_endpoint as web_endpoint
    from gx.partial_function import web_server as web_server
    from gx.partial_function import wsgi_app as wsgi_app
    from gx.queue import Queue as Queue
    from gx.retries import Retries as Retries
    from gx.schedule import Cron as Cron
    from gx.schedule import Period as Period
    from gx.secret import Secret as Secret
