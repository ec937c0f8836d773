"""Processes of the operating system, and whose they are."""

import os
import pwd
import socket


def is_running(pid: int) -> bool:
    """Returns whether a process with this id exists, whoever owns it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def user_and_host() -> str:
    """Who runs this process, as user@host. The system's word, not that of a variable such as USER."""
    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run as a number without a name
        user = str(number)
    return f"{user}@{socket.gethostname()}"
