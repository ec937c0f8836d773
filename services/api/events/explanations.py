"""The meaning of each warning code, for whoever wires up an SDK. A test compares the codes with those ingest gives."""

WARNINGS = {
    "test_order": "It is about a test order: it is kept, and left out of every journey.",
    "bot": "Sent by a crawler, by its user agent: it is kept, and left out of every journey.",
    "cleaned_id": "An id had white space around it, invisible marks or letters not in NFC, and was taken without. "
    "Of each request the first such event says so.",
    "conflict": "Another event with this message id came before and counts; this one says something else and does not. "
    "Every event needs a message id of its own.",
    "duplicate": "The same event came before: it counts once. A client that tries again after a timeout sends such "
    "copies, and they do no harm.",
    "illegal_id": "An id was a placeholder such as null, undefined, {{user.id}} or anonymous. It was left out, because "
    "it would make one customer, order or event of many.",
    "implausible_time": "Its time lies before anybody can have meant it (a zero, a wrong unit), so the time it was "
    "received is used.",
    "shared_left_out": "What its batch shares is not kept with it: there would be too many copies. Send fewer events "
    "at once.",
    "mended_text": "A text had half a character (a cut emoji), a NUL or bytes that are not UTF-8; U+FFFD stands "
    "in their place. The answer to the request names the field.",
    "missing_id": "It names nobody.",
    "missing_message_id": "It has neither a message id nor a time: sent again, it counts twice.",
    "missing_order_id": "An order event without an order id: each report of an order counts as another one, and a "
    "refund or cancellation takes none back.",
    "time_in_future": "Its time lies in the future, so the time it was received is used. The device's clock is wrong, "
    "or the time is in another unit.",
    "too_many_ids": "One of its ids would belong to a person of too many: it was not joined, or may not have been, and "
    "the event counts. A user id for everybody, or a device that many share, does this; `GET /v1/identity/suspects` "
    "lists such ids.",
    "unknown_name": "Its name is in no shipped vocabulary, and like one that is. It is kept under its own name and "
    "counts among the unmapped events, unless a model of yours knows it.",
    "unreadable_time": "A time could not be read and was left out; the answer to the request names the field. "
    "ISO 8601 with a zone is read everywhere.",
    "wrong_type": "A field has another type than its name promises (a price that is no number, say), or is too long. "
    "It is kept as sent, and not used; the answer to the request names it.",
}
