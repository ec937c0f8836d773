"""The ranges of keys of a text hold exactly the ids that begin with it, as PostgreSQL compares texts of collation C."""

from hypothesis import given
from hypothesis import strategies as st

from services.api.search.text import key_of, key_ranges
from throughline.wire.names import clean_name

# No lone surrogates: neither a request nor PostgreSQL can hold one.
_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("aAbB@. \ud7ff\ue000")
_texts = st.text(_letters, max_size=6)


@given(_texts, _texts)
def test_an_id_is_in_a_range_if_it_begins_so(text: str, rest: str) -> None:
    begin = clean_name(text)
    for name in (begin + rest, key_of(begin) + rest, rest):
        key = key_of(name).encode()
        is_within = any(
            first.encode() <= key and (end is None or key < end.encode()) for first, end in key_ranges(text)
        )
        forms = {key_of(form) for form in (begin, begin.lower(), begin.upper(), begin.title())} if begin else set()
        assert is_within == any(key_of(name).startswith(form) for form in forms)
