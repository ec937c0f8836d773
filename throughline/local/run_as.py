"""Which user PostgreSQL runs as: it refuses root, so root has to become another user, without touching the system.

`run_as` is `same`, `namespace` or `UID:GID`; `bound_to_parent.py` says what each means.
"""

import os
import pwd
from pathlib import Path

from throughline.local.errors import LocalError
from throughline.local.process import Child

UNPRIVILEGED_USERS = ("postgres", "nobody")


async def choose_run_as(folder: Path, owner: os.stat_result | None, *, probe: Path, log: Path, namespaces: bool) -> str:
    """The `run_as` of the server, proved by running `probe` (the server) with it.

    An ordinary user stays the same. Root keeps to the `owner` of existing data; else takes a user namespace, so that
    files stay root's; where those are refused (or `namespaces` is False), an unprivileged user who already exists.

    Raises:
        LocalError: no user can run the server.
    """
    if os.geteuid() != 0:
        return "same"
    if owner is not None and owner.st_uid != 0:
        candidates = [f"{owner.st_uid}:{owner.st_gid}"]
    else:
        candidates = ["namespace"] if namespaces or owner is not None else []
        if owner is None:
            users = [user for user in pwd.getpwall() if user.pw_name in UNPRIVILEGED_USERS]
            candidates += [f"{user.pw_uid}:{user.pw_gid}" for user in users]
    refusals = []
    for run_as in candidates:
        trial = Child("identity", [str(probe), "--version"], log=log, env={"LC_ALL": "C"}, run_as=run_as)
        await trial.start()
        if await trial.wait() == 0 and _can_enter(folder, run_as):
            return run_as
        refusals.append(trial.tail(2) or f"as {run_as}: cannot enter {folder}")
    raise LocalError(
        "PostgreSQL does not run as root, and no other way was allowed here: "
        + "; ".join(refusals)
        + ". Start as an ordinary user, or from a folder every user may enter"
    )


def hand_over(folder: Path, run_as: str) -> None:
    """Give `folder` and the files in it to the user of `run_as`, when that is another user."""
    if ":" in run_as:
        uid, gid = map(int, run_as.split(":"))
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, gid)


def _can_enter(folder: Path, run_as: str) -> bool:
    """Whether the user of `run_as` may walk to `folder`."""
    if ":" not in run_as:
        return True
    uid, gid = map(int, run_as.split(":"))
    for parent in folder.parents:
        status = parent.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        if not status.st_mode >> shift & 1:
            return False
    return True
