"""History: what the headers of a request say of events that did not happen now. Pure.

`X-Throughline-History` has the earliest time that a row can have (RFC 3339, or a date): a row with an earlier time,
with none, or with one that nobody can read is refused. `X-Throughline-Place` is the place of the first row in its file,
so that rows of one instant keep their order across requests.
"""

from collections.abc import Mapping

from services.ingest.event import times
from services.ingest.event.verdict import RejectedError
from services.ingest.validate.request import Timing
from throughline.kit.errors import ServiceError

HISTORY = b"x-throughline-history"
PLACE = b"x-throughline-place"
"""Names of headers, in lower case. Without the first the second is ignored."""
_MAX_PLACE_DIGITS = 9


def read_timing(headers: Mapping[bytes, bytes], live: Timing, *, is_operator: bool = False) -> Timing:
    """Returns how the times of a request's events are judged: `live` unless its headers say that they are history.

    Nobody but an operator has an earlier time believed than `live` does.

    Raises:
        ServiceError: 400, one of the headers cannot be read.
    """
    if HISTORY not in headers:
        return live
    try:
        earliest = times.parse(headers[HISTORY].decode("latin-1"), "X-Throughline-History")
        earliest_us = None if earliest is None else times.instant(earliest, "X-Throughline-History")
    except RejectedError:
        earliest_us = None
    if earliest_us is None:
        raise _wrong("X-Throughline-History", "it has to be the earliest time of a row, such as 2000-01-01")
    place = headers.get(PLACE, b"0")
    if not place.isdigit() or len(place) > _MAX_PLACE_DIGITS:
        raise _wrong("X-Throughline-Place", f"it has to be a number of {_MAX_PLACE_DIGITS} digits at most")
    if not is_operator:
        earliest_us = max(earliest_us, live.earliest_us)
    return Timing(earliest_us, True, int(place))


def _wrong(header: str, why: str) -> ServiceError:
    return ServiceError(400, "wrong_header", f"the header {header}: {why}", field=header)
