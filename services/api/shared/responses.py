"""HTTP responses that carry answers. OpenAPI shows T as the schema of an endpoint that returns `AnswerResponse[T]`."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Generic, Protocol

import msgspec
from starlette.responses import Response

from services.api.shared.answers import A_co, Answer, EncodedAnswer, matches_etag

JSON = "application/json"
VARY = "Accept, Authorization"


class ListPages(Protocol):
    """The pages of the list that an answer is the first page of."""

    @property
    def is_of_one_page(self) -> bool:
        """Whether the client has said how long a page is, and so wants one."""

    def sending(self) -> AbstractContextManager[None]:
        """Entered while the list is sent."""

    def pages(self, first: Answer) -> AsyncIterator[Answer]:
        """The first page and all that follow."""


class AnswerResponse(Response, Generic[A_co]):
    """200 with an answer. No cache may keep the answer, because it belongs to the holder of the token."""

    list_pages: ListPages | None = None
    """None: the answer is no page of a list."""

    def __init__(self, answer: A_co) -> None:
        super().__init__(
            msgspec.json.encode(answer), media_type=JSON, headers={"Cache-Control": "no-store", "Vary": VARY}
        )
        self.answer = answer


class ConditionalResponse(Response, Generic[A_co]):
    """200 with an encoded answer and its ETag, or 304 when the client already has the state that the ETag names."""

    def __init__(self, answer: EncodedAnswer[A_co], if_none_match: str) -> None:
        headers = {"ETag": answer.etag, "Cache-Control": "private, no-cache", "Vary": VARY}
        if if_none_match and matches_etag(if_none_match, answer.etag):
            super().__init__(status_code=304, headers=headers)
        else:
            super().__init__(answer.body, media_type=JSON, headers=headers)
