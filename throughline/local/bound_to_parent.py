"""Becomes another program that ends with its parent: `python -I -S THIS_FILE PARENT SIGNAL RUN_AS PROGRAM ARG...`.

The kernel sends SIGNAL when the parent ends, however it ends. RUN_AS is the user that the program runs as: `same`,
`namespace` (root only: a user namespace in which it sees uid 1000 while its files stay root's), or `UID:GID`.
Runs as a script that imports nothing of ours. Exits with status 126 and a line on stderr when it cannot.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def main() -> None:
    """Become the user, ask for the signal, become the program."""
    parent, death_signal, run_as, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if run_as == "namespace":
            if libc.unshare(CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), "user namespaces are refused")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text("1000 0 1")
            Path("/proc/self/gid_map").write_text("1000 0 1")
        elif run_as != "same":
            uid, gid = map(int, run_as.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # Last before exec: a change of user would clear it.
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(126)
        # Python ignores these two and exec would pass that on.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        os.execv(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]} as {run_as}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(126)


if __name__ == "__main__":
    main()
