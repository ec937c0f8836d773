"""Strategies for PostHog events."""

from hypothesis import strategies as st

from tests.strategies.values import JSON, TEXT, TIMES

NAMES = ["$identify", "$create_alias", "$merge_dangerously", "$pageview", "$screen", "$groupidentify", "$set", "Bought"]

FLAGS = ["$is_identified", "$process_person_profile", "$cookieless_mode", "$ignore_sent_at"]

PEOPLE = ["distinct_id", "alias", "$anon_distinct_id", "$device_id"]

OTHERS = ["$ip", "$set", "$set_once", "$group_type", "$group_key", "$group_set", "$screen_name", "$lib", "token"]

PAGES = ["$current_url", "$referrer", "title", "utm_source", "utm_medium", "$raw_user_agent"]

PROPERTIES = st.dictionaries(st.sampled_from([*FLAGS, *PEOPLE, *OTHERS, *PAGES]) | TEXT, JSON, max_size=5)

OPTIONS = st.dictionaries(
    st.sampled_from(["process_person_profile", "cookieless_mode", "disable_skew_correction"]) | TEXT, JSON, max_size=3
)

POSTHOG_EVENTS = (
    st.fixed_dictionaries(
        {"event": st.sampled_from(NAMES) | TEXT | JSON, "distinct_id": TEXT | JSON},
        optional={
            "uuid": TEXT | JSON,
            "timestamp": TIMES,
            "offset": st.integers() | st.floats() | JSON,
            "sent_at": TIMES,
            "properties": PROPERTIES | JSON,
            "options": OPTIONS | JSON,
            **dict.fromkeys(("$set", "$set_once", "$unset", "session_id", "type", "api_key", "other"), JSON),
        },
    )
    | JSON
)

GOOD_POSTHOG = {
    "event": "Bought",
    "distinct_id": "good",
    "uuid": "m",
    "timestamp": "2026-11-23T20:00:00Z",
    "properties": {},
}
