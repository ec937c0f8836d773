"""Who PostgreSQL runs as: it refuses root, so root has to become somebody else, without touching the system."""

import os
import pwd
from pathlib import Path

from throughline.local.errors import LocalError
from throughline.local.process import Child

UNPRIVILEGED = ("postgres", "nobody")


async def choose_identity(
    folder: Path, owner: os.stat_result | None, *, probe: Path, log: Path, namespaces: bool
) -> str:
    """The identity for `process.Child`, proved by running `probe` (the server) as it.

    An ordinary user is `same`. Root keeps to the `owner` of existing data; else takes a user namespace, so that files
    stay root's; where those are refused (or `namespaces` is False), an unprivileged user who already exists.

    Raises:
        LocalError: no identity can run the server.
    """
    if os.geteuid() != 0:
        return "same"
    if owner is not None and owner.st_uid != 0:
        candidates = [f"{owner.st_uid}:{owner.st_gid}"]
    else:
        candidates = ["namespace"] if namespaces or owner is not None else []
        if owner is None:
            candidates += [f"{user.pw_uid}:{user.pw_gid}" for user in _unprivileged()]
    refused = []
    for identity in candidates:
        trial = Child("identity", [str(probe), "--version"], log=log, env={"LC_ALL": "C"}, identity=identity)
        await trial.start()
        if await trial.wait() == 0 and _reachable(folder, identity):
            return identity
        refused.append(trial.tail(2) or f"as {identity}: cannot enter {folder}")
    raise LocalError(
        "PostgreSQL does not run as root, and no other way was allowed here: "
        + "; ".join(refused)
        + ". Start as an ordinary user, or from a folder every user may enter"
    )


def hand_over(folder: Path, identity: str) -> None:
    """Give `folder` and the files in it to the user of `identity`, when that is another user."""
    if ":" in identity:
        uid, gid = map(int, identity.split(":"))
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, gid)


def _unprivileged() -> list[pwd.struct_passwd]:
    return [user for user in pwd.getpwall() if user.pw_name in UNPRIVILEGED]


def _reachable(folder: Path, identity: str) -> bool:
    """Whether the user of `identity` may walk to `folder`."""
    if ":" not in identity:
        return True
    uid, gid = map(int, identity.split(":"))
    for parent in folder.parents:
        found = parent.stat()
        shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
        if not found.st_mode >> shift & 1:
            return False
    return True
