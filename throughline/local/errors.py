"""Errors of this machine or of a data folder, in words for the person at the terminal.

LocalError            the message says what is wrong and what to do about it
 ├─ LockedError       another instance uses the folder
 ├─ PortInUseError    another process listens on the port
 └─ BrokenFolderError the folder is not ours, damaged, or of another version
"""


class LocalError(Exception):
    """A local server cannot run; the message names the cause and the fix and needs no traceback."""


class LockedError(LocalError):
    """Another running instance uses the folder."""


class PortInUseError(LocalError):
    """Another process listens on the port that was asked for."""


class BrokenFolderError(LocalError):
    """The folder is not a sound data folder of this kind and version."""
