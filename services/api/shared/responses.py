"""HTTP responses that carry answers. OpenAPI shows T as the schema of an endpoint that returns `AnswerResponse[T]`."""

from typing import Generic

import msgspec
from starlette.responses import Response

from services.api.shared.answers import A_co, EncodedAnswer, matches_etag

JSON = "application/json"


class AnswerResponse(Response, Generic[A_co]):
    """200 with an answer. No cache may keep the answer, because it belongs to the holder of the token."""

    def __init__(self, answer: A_co) -> None:
        super().__init__(msgspec.json.encode(answer), media_type=JSON, headers={"Cache-Control": "no-store"})


class ConditionalResponse(Response, Generic[A_co]):
    """200 with an encoded answer and its ETag, or 304 when the client already has the state that the ETag names."""

    def __init__(self, answer: EncodedAnswer[A_co], if_none_match: str) -> None:
        headers = {"ETag": answer.etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        if if_none_match and matches_etag(if_none_match, answer.etag):
            super().__init__(status_code=304, headers=headers)
        else:
            super().__init__(answer.body, media_type=JSON, headers=headers)
