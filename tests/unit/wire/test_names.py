"""The ids that a rejected event may hold."""

import pytest

from throughline.journey.touchpoint import Touchpoint
from throughline.wire.codec import encode
from throughline.wire.names import names_in


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b'{"userId": "ada"}', "ada"),
        (b'{"userId": " ada "}', "ada"),
        (b'{"userId": "a\\u0064a"}', "ada"),
        (b'{"userId": "say \\"ada\\""}', 'say "ada"'),
        (b'{"userId": 12345}', "12345"),
        (b'{"userId": 12345.0}', "12345"),
        (b'{"userId": -7}', "-7"),
        (b'{"context": {"traits": [{"email": "Ada@X.example"}]}}', "ada@x.example"),
        (b'{"userId": "ada", "broken', "ada"),
        (b'{"userId": "ada smith", ', "ada smith"),
        (b"e=pv&uid=ada%40x.example&duid=d-1", "ada@x.example"),
        (b"e=pv&uid=ada+smith", "ada smith"),
        ('{"userId": "jose\N{COMBINING ACUTE ACCENT}"}'.encode(), "jos\N{LATIN SMALL LETTER E WITH ACUTE}"),
        (b"user_id;when\nada;2026-11-01", "ada"),
        (b"\xff\xfe ada \x00", "ada"),
    ],
)
def test_every_text_may_be_an_id(payload: bytes, name: str) -> None:
    workspace, names = names_in(payload)
    assert workspace == 0
    assert name in names


def test_a_record_of_the_log_says_its_ids() -> None:
    record = Touchpoint(1, 0, "m", "ada", "track", "Seen", 7, user_id="ada", anonymous_id="device", received_us=1)
    assert names_in(encode(record)) == (7, {"ada", "device"})


def test_half_a_character_is_no_id() -> None:
    assert names_in(b'{"userId": "\\ud800"}').names == {"userId"}
