"""Becomes another program that dies with its parent: `python -I -S leash.py PARENT SIGNAL IDENTITY PROGRAM ARG...`.

The kernel sends SIGNAL when the parent ends, however it ends. IDENTITY is who the program runs as:
`same`, `namespace` (root only: a user namespace in which it sees uid 1000 while its files stay root's), or `UID:GID`.
Runs as a script, before anything of ours is imported. Exits with 126 and a line on stderr when it cannot.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def main() -> None:
    """Take on the identity, ask for the signal, become the program."""
    parent, death_signal, identity, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if identity == "namespace":
            if libc.unshare(CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), "user namespaces are refused")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text("1000 0 1")
            Path("/proc/self/gid_map").write_text("1000 0 1")
        elif identity != "same":
            uid, gid = map(int, identity.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # Last before exec: a change of identity would clear it.
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(126)
        # Python ignores these two and exec would pass that on.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        os.execv(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]} as {identity}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(126)


if __name__ == "__main__":
    main()
