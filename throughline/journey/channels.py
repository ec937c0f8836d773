"""The channels that the rules of attribution give, which every workspace may have."""

STANDARD_CHANNELS = frozenset(
    {
        "affiliate",
        "ai_assistant",
        "audio",
        "campaign",
        "direct",
        "display",
        "email",
        "organic_search",
        "paid_other",
        "paid_search",
        "paid_social",
        "paid_video",
        "push",
        "referral",
        "sms",
        "social",
        "video",
    }
)
"""Channels besides these are named by events themselves, so that there may be any number of them."""
