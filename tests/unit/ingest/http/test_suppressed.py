"""The suppressed ids of a worker: whatever is added is in the set, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.http.suppressed import DigestSet, SuppressedIds

digests = st.lists(st.sampled_from([0, 1, 255]), min_size=16, max_size=16).map(bytes)
"""Digests that often begin, end and lie within one another."""


@given(added=st.lists(digests), looked_for=st.lists(digests))
def test_a_digest_set_is_a_set(added: list[bytes], looked_for: list[bytes]) -> None:
    digest_set = DigestSet()
    for digest in added:
        digest_set.add(digest)
    assert len(digest_set) == len(set(added))
    for digest in [*added, *looked_for]:
        assert (digest in digest_set) == (digest in added)


def test_a_workspace_without_suppressions_has_no_set() -> None:
    assert SuppressedIds().of(1) is None
