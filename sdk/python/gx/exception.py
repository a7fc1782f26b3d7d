"""Exceptions that gx raises. All are under ``Error``, but those that say otherwise."""

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Error(Exception):
    """Base of the exceptions of gx."""


class AlreadyExistsError(Error):
    """Something of that name exists already."""


class AuthError(Error):
    """The host does not accept who asks."""


class InternalError(Error):
    """gx itself has made a mistake."""


class InvalidError(Error):
    """gx was asked for something that makes no sense; the message says what would."""


class ConflictError(InvalidError):
    """What was asked for does not fit what exists."""


class VolumeBusyError(ConflictError, RuntimeError):
    """A volume cannot be reloaded while files of it are open."""


class DataLossError(Error):
    """Data was lost or damaged."""


class NotFoundError(Error):
    """What was asked for does not exist."""


class VolumeFileNotFoundError(NotFoundError, builtins.FileNotFoundError):
    """A volume has no file or folder of that path."""


class VolumeFileExistsError(AlreadyExistsError, builtins.FileExistsError):
    """A volume has a file of that path already."""


class PermissionDeniedError(Error):
    """What was asked for is not allowed."""


class ResourceExhaustedError(Error):
    """Memory, disk or another resource was used up."""


class ServiceError(Error):
    """The host could not do what was asked for."""


class UnimplementedError(Error):
    """gx does not have this yet."""


class RemoteError(Error):
    """Something failed on the host."""


class ImageBuildError(RemoteError):
    """An image could not be built."""


class TimeoutError(Error, builtins.TimeoutError):
    """Something took longer than it may."""


class SandboxTimeoutError(TimeoutError):
    """A sandbox has run for longer than it may."""


class ExecTimeoutError(TimeoutError):
    """A command in a sandbox has run for longer than it may."""


class FunctionTimeoutError(TimeoutError):
    """A function has run for longer than its ``timeout``."""


class MountUploadTimeoutError(TimeoutError):
    """Uploading local files took too long."""


class VolumeUploadTimeoutError(TimeoutError):
    """Uploading to a volume took too long."""


class InteractiveTimeoutError(TimeoutError):
    """An interactive session did not come about in time."""


class OutputExpiredError(TimeoutError):
    """The result of a call is not kept any more."""


class SandboxTerminatedError(Error):
    """The sandbox was ended."""


class LogsFetchError(Error):
    """Logs could not be read."""


class ConnectionError(Error, builtins.ConnectionError):
    """There is no connection to the host, or it has ended."""


class VersionError(Error):
    """Two parts of gx are of versions that do not fit."""


class ExecutionError(Error):
    """A function could not be run, or what it raised could not be brought here."""


class DeserializationError(Error):
    """A value cannot be unpickled."""


class SerializationError(Error):
    """A value cannot be pickled."""


class RequestSizeError(Error):
    """A value is larger than what can be sent."""


class InternalFailure(Error):
    """gx itself has made a mistake; the call may be tried again."""


class ClientClosed(Error):
    """The connection was closed by this program."""


class ModuleNotMountable(Error):
    """A module has no source files that could be taken along."""


class FilesystemExecutionError(Error):
    """An operation on the files of a sandbox has failed."""


class SandboxFilesystemError(Error):
    """An operation on the files of a sandbox has failed."""


class SandboxFilesystemNotFoundError(SandboxFilesystemError):
    """There is no such file in the sandbox."""


class SandboxFilesystemIsADirectoryError(SandboxFilesystemError):
    """It is a directory where a file is needed."""


class SandboxFilesystemNotADirectoryError(SandboxFilesystemError):
    """It is not a directory where one is needed."""


class SandboxFilesystemDirectoryNotEmptyError(SandboxFilesystemError):
    """The directory has something in it."""


class SandboxFilesystemPathAlreadyExistsError(SandboxFilesystemError):
    """The path exists already."""


class SandboxFilesystemPermissionError(SandboxFilesystemError):
    """The file may not be used so."""


class SandboxFilesystemFileTooLargeError(SandboxFilesystemError):
    """The file is too large for this operation."""


class InputCancellation(BaseException):
    """Raised in a function whose input was cancelled, and where the result of one is asked for.

    It is no Exception, so that ``except Exception`` does not swallow it.
    """


class DeprecationError(UserWarning):
    """An older name is used; the message has the present one."""


class PendingDeprecationError(UserWarning):
    """A name is used that will be called otherwise."""


class ServerWarning(UserWarning):
    """Something that the host wants to be known."""


class RemoteTraceback(Exception):
    """The traceback of an exception as it was where the exception was raised.

    It is the ``__cause__`` of exceptions that come from a container, so that
    Python prints it with them.
    """

    def __init__(self, text: str, file: str = "", line: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.file = file
        """The innermost file of the user's own, as the container has it."""
        self.line = line

    def __str__(self) -> str:
        return f"\n{self.text.rstrip()}"


def simulate_preemption(wait_seconds: int, jitter_seconds: int = 0) -> NoReturn:
    """Not part of gx yet: ends the current container as a preemption would."""
    raise UnimplementedError("gx.exception.simulate_preemption is planned and not part of gx yet")
