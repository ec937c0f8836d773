"""Names of events by which a customer shares or invites: a property `code` of theirs is a referral code. Pure.

A phase model decides what a name means; these are the names of the shipped vocabulary.
"""

from services.ingest.validate.order_names import normalise

SHARES = frozenset(
    {
        "cartshared",
        "endorse",
        "endorseaction",
        "invite",
        "inviteaction",
        "invitesent",
        "like",
        "likeaction",
        "productshared",
        "referral",
        "referralsent",
        "share",
        "shareaction",
        "socialmention",
    }
)
"""In lower case, without spaces, hyphens and underscores."""


def is_share(name: str) -> bool:
    """Returns whether a customer shares or invites by a track call of this name."""
    return normalise(name) in SHARES
