"""Scripts and styles: one folder under the digest of its content, which browsers keep for good.

plotly.js comes from the installed package ``plotly``; it lies beside the others under its own
digest, and only pages with a chart ask for it.
"""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import FileResponse

FOLDER = Path(__file__).parent / "static"
_FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Assets:
    """What lies in the folder, by name."""

    def __init__(self) -> None:
        self._files = {
            file.relative_to(FOLDER).as_posix(): file
            for file in sorted(FOLDER.rglob("*"))
            if file.is_file()
        }

    @cached_property
    def digest(self) -> str:
        """Of all files: where it differs, everything is fetched anew, and fits together."""
        found = hashlib.sha256()
        for name, file in self._files.items():
            found.update(f"{name}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
        return found.hexdigest()[:16]

    @cached_property
    def _plotly(self) -> Path:
        # `import plotly` takes half a second, and only the file is wanted
        return Path(str(files("plotly") / "package_data" / "plotly.min.js"))

    @cached_property
    def _plotly_digest(self) -> str:
        return hashlib.sha256(self._plotly.read_bytes()).hexdigest()[:16]

    def url(self, name: str) -> str:
        """Where a page finds a file; KeyError: there is none."""
        return f"/static/{self.digest}/{self._files[name].relative_to(FOLDER).as_posix()}"

    @property
    def plotly_url(self) -> str:
        """Where a page finds plotly.js."""
        return f"/static/{self._plotly_digest}/plotly.min.js"

    def answer(self, digest: str, name: str) -> FileResponse:
        """A file, to be kept for good; 404 for another digest, which is another version."""
        if name == "plotly.min.js" and digest == self._plotly_digest:
            file = self._plotly
        elif name in self._files and digest == self.digest:
            file = self._files[name]
        else:
            raise HTTPException(404, "no such file")
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
        return FileResponse(file, media_type=kind, headers=_FOR_GOOD)
