"""Ids as clients write them: brought to one form, and placeholders left out. Pure.

One guard for the ids of users, visitors, groups, orders and messages, whatever the dialect. A placeholder would make
one customer of thousands of strangers, one order of many, one event of all.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Any

from services.ingest.event.verdict import MAX_TEXT, Verdict, json_type, reject, warning

_WORDS = frozenset({
    "null", "nil", "none", "nan", "nullnull", "undefined", "undefinedundefined", "void", "unset", "empty", "blank",
    "missing", "infinity", "unknown", "unspecified", "notset", "notspecified", "notprovided", "notavailable",
    "notapplicable", "na", "nvl", "optionalnil", "optionalnone", "true", "false", "objectobject", "guest",
    "guestuser", "guestcustomer", "anonymous", "anonymoususer", "anonymouscustomer", "unidentified", "nouser",
    "noid", "noemail", "notauthenticated", "unauthenticated", "notloggedin", "notidentified", "loggedout", "id",
    "ids", "uid", "uuid", "guid", "email", "mail", "emailaddress", "useremail", "customeremail", "username", "userid",
    "customerid", "clientid", "visitorid", "contactid", "memberid", "accountid", "personid", "profileid",
    "subscriberid", "shopperid", "anonymousid", "anonid", "deviceid", "distinctid", "anondistinctid", "previousid",
    "externalid", "cookieid", "sessionid", "orderid", "transactionid", "receiptid", "cartid", "checkoutid", "groupid",
    "companyid", "messageid", "eventid",
})  # fmt: skip
"""Letters and digits of placeholders, in lower case: "not_set", "(not set)" and "Not Set" are one."""
_TEXTS = frozenset({"-1", "#ref!", "#value!", "#name?", "#null!", "#num!", "#div/0!"})
_MAX_WORD = 40
"""Number of characters from which on no text is a word or made of separators."""
_TEMPLATE = re.compile(
    r"""
    .*(?: \{\{ | \}\} | \$\{ | \#\{ | <% | \{% | \*\| | \|\* | \[object[ ] ).*   # anywhere: nobody has filled it in
    | %.*% | <.*> | @@.*@@ | \{[a-z_. ]+\}
    | [0\W_]+                                                                    # zeros, perhaps those of a UUID
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060"))
_OUTER = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u180e\u00ad"
"""Marks that no one sees. Inside a text they may matter to how it is written."""
_MAX_CACHED = 64
_USUAL = r"(?!-|@@)[A-Za-z0_.:@+#/=|-]{0,49}+[1-9][A-Za-z0-9_.:@+#/=|-]{0,49}+"
is_usual_id = re.compile(_USUAL).fullmatch
"""Matches most ids, which are in their one form, no placeholders and short enough for any field: ASCII, with a digit in
them. One call costs a tenth of what `clean_id` does."""
are_usual_ids = re.compile(rf"(?:{_USUAL})?+ (?:{_USUAL})?+ {_USUAL}").fullmatch
"""Matches the ids of a user, a visitor and a message with a space between them, if each is usual; one of the first two,
or both, may be missing. One match costs half of three."""


def clean_id(text: str) -> str:
    """Returns an id in its one form: "" for a placeholder, without outer white space and marks nobody sees, in NFC."""
    return (_clean if len(text) <= _MAX_CACHED else _clean.__wrapped__)(text)


def read_id(value: Any, field: str, warnings: list[Verdict], limit: int = MAX_TEXT) -> str:
    """Returns an id as text in its one form, "" when none was sent.

    Numbers become text; a placeholder is left out with a warning.

    Raises:
        RejectedError: an object or a list, or longer than `limit`.
    """
    if value is None or value == "":
        return ""
    if type(value) is str and is_usual_id(value):
        return value
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = value
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float):
        text = str(int(value)) if value.is_integer() else repr(value)
    else:
        reject("wrong_type", field, f"{field} has to be text or a number, got {json_type(value)}")
    cleaned = clean_id(text) if len(text) <= limit else text
    if len(cleaned) > limit:
        reject("too_long", field, f"{field} has {len(cleaned)} characters, {limit} are allowed")
    if not cleaned:
        warnings.append(warning("illegal_id", field, f"{text!r} is a placeholder, not an id; {field} was left out"))
    elif cleaned != text:
        warnings.append(
            warning(
                "cleaned_id",
                field,
                f"{field} {text!a} has white space around it, invisible marks or letters that are not in NFC; "
                f"it is taken as {cleaned!r}",
            )
        )
    return cleaned


@lru_cache(maxsize=4096)
def _clean(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
        while text != (stripped := text.strip().strip(_OUTER)):
            text = stripped
    text = text.strip()
    return "" if _is_placeholder(text) else text


def _is_placeholder(text: str) -> bool:
    if not text:
        return True
    if len(text) <= _MAX_WORD and ("".join(filter(str.isalnum, text)).lower() in _WORDS or text.lower() in _TEXTS):
        return True
    return text.isascii() and _TEMPLATE.fullmatch(text) is not None
