"""A data folder that belongs to one running server at a time and says so in plain words when it does not."""

import asyncio
import fcntl
import getpass
import json
import os
import time
from pathlib import Path

from throughline.kit.files import write_private
from throughline.local.errors import BrokenFolderError, LocalError, LockedError

MARKER = "throughline.json"
LOCK = "lock"


class DataFolder:
    """`path` as a folder of one `kind` (kafka, postgres, run), made by one `version` ("4.3.1", "18").

    A marker file tells our folders from anybody else's; it keeps `settings`, chosen when the folder was made. A lock
    (flock) tells a folder in use. Servers inherit the lock, so that it is held until the last of their processes ends.
    """

    def __init__(self, path: Path, kind: str, version: str) -> None:
        self.path = path.absolute()
        self.kind = kind
        self.version = version
        self.settings: dict[str, str] = {}
        self._lock: int | None = None

    @property
    def lock_fd(self) -> int:
        """The descriptor that holds the lock, for a child to inherit."""
        if self._lock is None:
            raise RuntimeError(f"{self.path} is not claimed")
        return self._lock

    async def claim(self, *, patience_s: float = 0.0) -> None:
        """Make the folder if need be, take its lock and read its marker. Does nothing when this object has the lock.

        `patience_s` is how long to wait for an earlier instance that is stopping.

        Raises:
            LockedError: another instance uses the folder.
            BrokenFolderError: the folder is not ours, or of a newer version.
            LocalError: the folder cannot be written.
        """
        if self._lock is not None:
            return
        try:
            self._make()
            lock = await self._take_lock(patience_s)
        except OSError as error:
            raise LocalError(
                f"cannot use the folder {self.path} as user {_user()}: {error.strerror}; "
                "give the folder to this user, or choose another one"
            ) from None
        try:
            self._read_marker()
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def release(self) -> None:
        """Let go of the lock; servers that inherited it hold it until they end."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remember(self, **settings: str) -> None:
        """Keep settings in the marker, for every later start."""
        self.settings |= settings
        write_private(
            self.path / MARKER, json.dumps({"kind": self.kind, "version": self.version, "facts": self.settings}) + "\n"
        )

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in self.path.iterdir()}
        if MARKER not in names and names - {LOCK}:
            raise BrokenFolderError(
                f"{self.path} holds other things ({', '.join(sorted(names - {LOCK})[:3])}) and no {MARKER}: it is not "
                f"a {self.kind} folder of Throughline; choose an empty or new folder"
            )
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")

    async def _take_lock(self, patience_s: float) -> int:
        lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
                    os.close(lock)
                    raise LockedError(
                        f"{self.path} is in use by another running instance (process {holder}); "
                        "stop that one first, or choose another folder"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
                return lock

    def _read_marker(self) -> None:
        marker = self.path / MARKER
        if not marker.exists():
            self.remember()
            return
        try:
            content = json.loads(marker.read_text())
            kind, version, settings = str(content["kind"]), str(content["version"]), dict(content["facts"])
            newer = _numbers(version) > _numbers(self.version)
        except (ValueError, TypeError, KeyError):
            raise BrokenFolderError(
                f"{marker} is damaged; put it back from a backup, or move {self.path} away to begin anew"
            ) from None
        if kind != self.kind:
            raise BrokenFolderError(f"{self.path} is a {kind} folder, not a {self.kind} one; choose another folder")
        if newer:
            raise BrokenFolderError(
                f"{self.path} was made by {kind} {version}, this is {self.version}: update Throughline, "
                "or choose another folder"
            )
        self.settings = settings


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
