from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Touchpoint(_message.Message):
    __slots__ = ("workspace", "source", "actor", "user_id", "anonymous_id", "previous_id", "message_id", "call", "name", "occurred_us", "received_us", "client_us", "channel", "warnings", "order_id", "value", "currency", "rating", "score", "product_id", "quantity", "total", "items", "test", "bot", "place", "attribution", "rest")
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_US_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    CLIENT_US_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    BOT_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    workspace: int
    source: int
    actor: str
    user_id: str
    anonymous_id: str
    previous_id: str
    message_id: str
    call: str
    name: str
    occurred_us: int
    received_us: int
    client_us: int
    channel: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    order_id: str
    value: float
    currency: str
    rating: float
    score: float
    product_id: str
    quantity: float
    total: float
    items: str
    test: bool
    bot: bool
    place: int
    attribution: str
    rest: bytes
    def __init__(self, workspace: _Optional[int] = ..., source: _Optional[int] = ..., actor: _Optional[str] = ..., user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., previous_id: _Optional[str] = ..., message_id: _Optional[str] = ..., call: _Optional[str] = ..., name: _Optional[str] = ..., occurred_us: _Optional[int] = ..., received_us: _Optional[int] = ..., client_us: _Optional[int] = ..., channel: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., order_id: _Optional[str] = ..., value: _Optional[float] = ..., currency: _Optional[str] = ..., rating: _Optional[float] = ..., score: _Optional[float] = ..., product_id: _Optional[str] = ..., quantity: _Optional[float] = ..., total: _Optional[float] = ..., items: _Optional[str] = ..., test: _Optional[bool] = ..., bot: _Optional[bool] = ..., place: _Optional[int] = ..., attribution: _Optional[str] = ..., rest: _Optional[bytes] = ...) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("workspace", "source", "received_us", "stage", "code", "field", "message", "payload", "origin", "name", "message_id", "request", "envelope", "replay_of")
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_OF_FIELD_NUMBER: _ClassVar[int]
    workspace: int
    source: int
    received_us: int
    stage: str
    code: str
    field: str
    message: str
    payload: bytes
    origin: str
    name: str
    message_id: str
    request: str
    envelope: Envelope
    replay_of: str
    def __init__(self, workspace: _Optional[int] = ..., source: _Optional[int] = ..., received_us: _Optional[int] = ..., stage: _Optional[str] = ..., code: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ..., payload: _Optional[bytes] = ..., origin: _Optional[str] = ..., name: _Optional[str] = ..., message_id: _Optional[str] = ..., request: _Optional[str] = ..., envelope: _Optional[_Union[Envelope, _Mapping]] = ..., replay_of: _Optional[str] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("path", "content_type", "library", "before", "after")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LIBRARY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    path: str
    content_type: str
    library: str
    before: bytes
    after: bytes
    def __init__(self, path: _Optional[str] = ..., content_type: _Optional[str] = ..., library: _Optional[str] = ..., before: _Optional[bytes] = ..., after: _Optional[bytes] = ...) -> None: ...
