"""``leuko-edge slide`` and ``leuko-edge command``: one command for the running daemon."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edge_daemon.errors import CommandError, ConfigError
from edge_daemon.service.local_client import ask

INSTALLED_SOCKET = Path("/run/leuko-edge/leuko-edge.sock")
"""Where the daemon listens as deploy/systemd installs it."""

_ACTIVITIES = {"idle": "no slide is under way", "screening": "screening", "paused": "paused"}


def socket_of(socket: Path | None, config: Path | None) -> Path:
    """The socket to ask at: named itself, by a configuration, or the installed daemon's.

    Raises:
        ConfigError: the configuration cannot be read, or both are named.
    """
    if socket is not None and config is not None:
        raise ConfigError("--socket and --config both name a daemon; give one of them")
    if config is None:
        return socket or INSTALLED_SOCKET
    from edge_daemon.config import load_config  # a third of a second that most need not wait

    return load_config(config).local_socket


def ask_daemon(
    socket: Path,
    name: str,
    args: dict[str, Any],
    *,
    operator: str | None = None,
    identity: str | None = None,
) -> dict[str, Any]:
    """The reply to a command that was carried out.

    Raises:
        ServiceError: no daemon answers.
        CommandError: it was not carried out; the reason.
    """
    request = {"command": name, "args": args, "operator": operator, "id": identity}
    reply = ask(socket, {key: value for key, value in request.items() if value is not None})
    if "error" in reply:
        raise CommandError(str(reply["error"]))
    if reply.get("ok") is not True:
        raise CommandError(f"{name} was not carried out: {reply.get('reason')}")
    return reply


def command(
    socket: Path, name: str, text: str | None, *, operator: str | None, identity: str | None
) -> None:
    """Send any command of the daemon, with arguments as JSON; print its reply as JSON.

    Raises:
        ConfigError: the arguments are no JSON object, or the id is none.
        ServiceError: no daemon answers.
        CommandError: it was not carried out; the reason.
    """
    try:
        args = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(
            f'the arguments are not JSON ({error}): quote them, as \'{{"slide": "S-17"}}\''
        ) from None
    if not isinstance(args, dict):
        raise ConfigError('the arguments are no JSON object: quote them, as \'{"slide": "S-17"}\'')
    if identity is not None and re.fullmatch(r"[0-9a-f]{32}", identity) is None:
        raise ConfigError("--id needs 32 hexadecimal digits, as: uuidgen | tr -d -")
    reply = ask_daemon(socket, name, args, operator=operator, identity=identity)
    print(json.dumps(reply, indent=1))


def print_status(reply: dict[str, Any], *, as_json: bool = False) -> None:
    """Print what a command about slides was answered."""
    print(json.dumps(reply, indent=1) if as_json else "\n".join(status_lines(reply["result"])))


def status_lines(result: dict[str, Any]) -> list[str]:
    """The answer as a person reads it."""
    activity, slide, label = result["activity"], result.get("slide"), result.get("label")
    hint = [f"label   {label}"] if label else []
    if slide is None:
        return [_ACTIVITIES.get(activity, activity), *hint]
    head = activity if slide["completion"] is None else slide["completion"].replace("_", " ")
    return [f"{slide['slide']}: {head}", *slide_lines(slide), *hint]


def slide_lines(slide: dict[str, Any]) -> list[str]:
    """Frames, cells and verdict of a slide's standing."""
    area = slide.get("coverage_mm2")
    seen = "" if area is None else f"; {area:.3f} mm2 seen"
    counts = f"{slide['nucleated_cells']} nucleated, {slide['blasts']} blasts"
    lines = [
        f"frames  {sums_line(slide['frames'])}",
        f"cells   {counts}, {slide['uncertain']} uncertain{seen}",
        f"reads   {slide['disposition']}: {' '.join(slide['reasons'])}",
    ]
    wanted = slide.get("more_cells_wanted")
    return [*lines, f"wanted  {wanted} more cells"] if wanted else lines


def sums_line(frames: dict[str, int]) -> str:
    """``captured = analysed + rejected + dropped + failed``, with whether it is so."""
    ends = ("analysed", "rejected", "dropped", "failed")
    line = f"{frames['captured']} captured = {' + '.join(f'{frames[end]} {end}' for end in ends)}"
    missing = frames["captured"] - sum(frames[end] for end in ends)
    return line if missing == 0 else f"{line}: THE SUM DOES NOT HOLD, {missing} are unaccounted for"
