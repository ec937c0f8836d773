"""The answers of `/v1/shares` and `/v1/shared`. Pure."""

from typing import Annotated, ClassVar

from msgspec import Meta

from services.api.shared.answers import Answer, Instant
from throughline.kit.clock import rfc3339
from throughline.store.access.shares import Share

_View = Annotated[str, Meta(description="what follows the page's address", examples=["#/funnel?span=28d"])]
_Questions = Annotated[
    list[str], Meta(description="all that the link may ask", examples=[["/v1/funnel?from=2026-11-01T00%3A00%3A00Z"]])
]
_Name = Annotated[str, Meta(examples=["Funnel in November"])]


class ShareAnswer(Answer):
    """A shared link, without its token."""

    id: Annotated[int, Meta(examples=[3])]
    hint: Annotated[str, Meta(description="how its token begins", examples=["tlv_3kXq9a"])]
    name: _Name
    view: _View
    questions: _Questions
    created_at: Instant
    created_by: Annotated[str, Meta(examples=["token 3 (dashboard)"])]
    expires_at: Instant


class NewShare(ShareAnswer):
    """A shared link as it is made: the only time that its token is shown."""

    token: Annotated[str, Meta(examples=["tlv_3kXq9aQm0T7nWc2zLr5vB8yHd1sKe4uGf6jNpAxC"])]
    link: Annotated[
        str,
        Meta(description="goes behind the page's address", examples=["/#/shared/tlv_3kXq9aQm0T7nWc2"]),
    ]


class Shares(Answer):
    """The shared links of a workspace that open something, newest first."""

    TABLE: ClassVar[str] = "items"

    items: list[ShareAnswer]


class Shared(Answer):
    """What a shared link opens."""

    name: _Name
    view: _View
    questions: _Questions
    workspace: Annotated[str, Meta(examples=["acme"])]
    expires_at: Instant


def share_answer(share: Share) -> ShareAnswer:
    """One shared link."""
    return ShareAnswer(**_fields(share))  # type: ignore[arg-type]


def new_share_answer(share: Share, token: str) -> NewShare:
    """A shared link with its token."""
    return NewShare(**_fields(share), token=token, link=f"/#/shared/{token}")  # type: ignore[arg-type]


def _fields(share: Share) -> dict[str, object]:
    return {
        "id": share.id,
        "hint": share.hint,
        "name": share.name,
        "view": share.view,
        "questions": share.questions,
        "created_at": rfc3339(share.created_us),
        "created_by": share.created_by,
        "expires_at": rfc3339(share.expires_us),
    }
