"""Processes of the operating system."""

import os


def is_running(pid: int) -> bool:
    """Returns whether a process with this id exists, whoever owns it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
