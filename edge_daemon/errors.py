"""Errors a user can do something about: each says what happened, where, and what to do.

The command line prints the message as one line and exits with ``exit_code``; nothing that derives
from :class:`LeukoError` is shown with a traceback.
"""

from __future__ import annotations


class LeukoError(Exception):
    """Base of all user-facing errors of LeukoEdge."""

    exit_code = 1


class ConfigError(LeukoError):
    """A configuration file or command-line value is wrong."""

    exit_code = 2


class BundleError(LeukoError):
    """A model bundle is missing, altered, truncated or of another version."""

    exit_code = 3


class EngineError(LeukoError):
    """A network cannot be loaded or run on this machine."""

    exit_code = 4


class GoldenSetError(EngineError):
    """A network was loaded and does not answer here as the exporter saw it answer."""


class LostDeviceError(EngineError):
    """An accelerator broke under this process: it must end, and a new one may try again.

    CUDA fails every call after a failed kernel, so going on would fail every frame in silence.
    """

    exit_code = 11


class SourceError(LeukoError):
    """A source of frames cannot be opened, or has ended before it should."""

    exit_code = 5


class AbsentSourceError(SourceError):
    """A source is not there now, and may come: unplugged, switched off, not mounted yet.

    Whoever runs unattended waits for it. What can never come (a misspelt setting, a file that does
    not exist) is a plain :class:`SourceError`.
    """


class FrameReadError(SourceError):
    """One frame could not be read; the source goes on with the next one."""


class BrokerError(LeukoError):
    """The MQTT broker cannot be reached or refuses this client."""

    exit_code = 6


class OutboxError(LeukoError):
    """The outbox on disk cannot be opened, written or trusted."""

    exit_code = 7


class DiskFullError(OutboxError):
    """The disk of the outbox is full; what was being written is not stored, all else is."""


class DataError(LeukoError):
    """Training or test data is missing, broken or contradicts itself."""

    exit_code = 8


class MessageError(LeukoError):
    """A message is truncated, of another version, or says something impossible."""

    exit_code = 9


class CommandError(LeukoError):
    """A command cannot be carried out as things stand; one line that says why."""

    exit_code = 10


class ServiceError(LeukoError):
    """An interface of the daemon cannot open where it should, or no daemon answers there."""

    exit_code = 12


class ControlError(LeukoError):
    """A control cannot be run, or its expected result cannot be read, written or trusted."""

    exit_code = 14


class CalibrationError(LeukoError):
    """A calibration cannot be made of these frames, or its file cannot be trusted."""

    exit_code = 13


class UpdateError(LeukoError):
    """An update cannot be had, or is not to be trusted; what runs goes on as before."""

    exit_code = 15


class ExpiredError(UpdateError):
    """What the repository says was signed too long ago: updates wait, screening does not."""
