"""How a command ends, for scripts."""

from enum import IntEnum


class Status(IntEnum):
    """The exit statuses of every command; docs/reference/cli.md has the same table."""

    DONE = 0
    CANNOT = 1
    """The command was understood and cannot be done, or not all of it; doctor: something is at fault."""
    WRONG_USE = 2
    """An option, an argument or a variable is wrong, or a question needs `--yes`."""
    UNREACHABLE = 3
    """Kafka, PostgreSQL or ingest does not answer: nothing is wrong with the command, try it again later."""
    INTERRUPTED = 130
    """Ended by Ctrl-C; what the command began goes on, or it can be continued."""
