"""Functions written from lists of field names when a module is loaded, as `dataclasses` and `namedtuple` write theirs.

A tuple of many fields is taken apart fastest by one assignment to as many names. Written out by hand, the order of the
fields would stand in every such place; written from the names, the order stands where the tuple is declared.
"""

import linecache
from collections.abc import Sequence
from typing import Any


def compiled(name: str, parameters: str, statements: Sequence[str], names: dict[str, Any]) -> Any:
    """Returns a function of these statements, one a line; tracebacks and debuggers show them.

    Args:
        parameters: as in its `def`.
        statements: its body, as lines; a line of a block begins with its own four spaces.
        names: what the statements use beside the parameters. They come from the code, never from input.
    """
    source = "\n".join([f"def {name}({parameters}):", *(f"    {line}" for line in statements), ""])
    file = f"<compiled {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = dict(names)
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]
