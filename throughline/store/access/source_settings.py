"""The settings of a source: how clients may name it, from where and how fast they may send, what is kept of events."""

import re
from collections.abc import Sequence
from secrets import token_bytes
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.kit.secret_box import SecretBox, SecretBoxError
from throughline.kit.websites import origin_text, website_of
from throughline.store.access.keys import DEFAULT_SETTINGS, WITHOUT_KEYS, key_digest
from throughline.store.access.modes import ConsentMode, IpMode
from throughline.store.access.names import AdminError, check_name, source_id
from throughline.store.schema.access import sources, workspaces, write_keys

CHANGEABLE = (
    "app_id",
    "origins",
    "rate_events",
    "rate_burst",
    "ip",
    "consent",
    "webhook_secret",
    "order_scope",
    "fold_case",
    "no_visit_hosts",
    "drop_fields",
    "hash_fields",
    "strip_queries",
)
MAX_RATE = 2_147_483_647
MAX_SECRET = 512
"""Maximum number of characters of a webhook's secret."""

MAX_NO_VISIT_HOSTS = 100
"""Maximum number of hosts whose referrals open no visit."""
MAX_FIELDS = 100
"""Maximum number of paths of each kind."""
MAX_FIELD = 200
"""Maximum number of characters of a path."""
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)+")

_IDS = frozenset({"userid", "anonymousid", "previousid", "messageid"})
_OBJECTS = frozenset({"properties", "context"})

MIN_APP_ID = 8
"""Minimum number of characters of an app id."""
# What a browser sends as Origin, in its one form: a scheme, a host (or all below one), perhaps a port.
_ORIGIN = re.compile(
    r"https?://(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?|[a-z-]+-extension://[a-z0-9-]+"
)


async def read_settings(connection: AsyncConnection, workspace: str, source: str) -> dict[str, Any]:
    """Returns the settings of a source by their names in `CHANGEABLE`; None where nothing is set.

    A webhook's secret is not among them: only whether there is one.

    Raises:
        AdminError: no such workspace or source.
    """
    number = await source_id(connection, workspace, source)
    row = (
        await connection.execute(select(*(sources.c[name] for name in CHANGEABLE)).where(sources.c.id == number))
    ).one()
    return {**row._mapping, "webhook_secret": row.webhook_secret is not None}


async def change_settings(
    connection: AsyncConnection, workspace: str, source: str, changes: dict[str, Any], box: SecretBox = WITHOUT_KEYS
) -> None:
    """Change settings by their names in `CHANGEABLE`; None takes a setting back. The others stay.

    The secret of webhooks is encrypted by `box`.

    Raises:
        AdminError: no such workspace or source, or not a value; the message names it and what would do.
    """
    number = await source_id(connection, workspace, source)
    # These always have a value: their default when they are taken back.
    defaults = {name: getattr(DEFAULT_SETTINGS, name) for name in ("ip", "consent", "fold_case")}
    changes = {name: defaults.get(name) if value is None else value for name, value in changes.items()}
    values = {name: _checked(name, value) for name, value in changes.items()}
    if values.get("webhook_secret") is not None:
        try:
            values["webhook_secret"] = box.seal(values["webhook_secret"])
        except SecretBoxError as error:
            raise AdminError(f"the webhook secret is not set: {error}") from None
    app_id = values.get("app_id")
    if app_id is not None:
        # Clients send an app id where others send a write key.
        taken = await connection.scalar(select(write_keys.c.id).where(write_keys.c.digest == key_digest(app_id)))
        if taken is not None:
            raise AdminError("the app id is a write key; choose another one")
    if values.get("hash_fields"):
        owner = select(sources.c.workspace).where(sources.c.id == number).scalar_subquery()
        # One secret for all sources of a workspace, so that what is equal stays equal; the first one stays.
        await connection.execute(
            update(workspaces)
            .where(workspaces.c.id == owner, workspaces.c.hash_key.is_(None))
            .values(hash_key=token_bytes(32))
        )
    try:
        await connection.execute(update(sources).where(sources.c.id == number).values(**values))
    except IntegrityError:
        raise AdminError(f"another source has the app id {app_id!r} already; choose another one") from None


def check_hosts(hosts: Sequence[str]) -> None:
    """Check hosts whose referrals open no visit.

    Raises:
        AdminError: too many, or one is no host.
    """
    if len(hosts) > MAX_NO_VISIT_HOSTS:
        raise AdminError(f"{len(hosts)} hosts open no visit; {MAX_NO_VISIT_HOSTS} are allowed")
    for host in hosts:
        if _HOST.fullmatch(host) is None:
            raise AdminError(
                f"{host!r} is not a host: it looks like pay.bank.example, in lower case, without scheme and path"
            )


def _check_fields(paths: Sequence[str]) -> None:
    if len(paths) > MAX_FIELDS:
        raise AdminError(f"{len(paths)} fields are named; {MAX_FIELDS} are allowed")
    for path in paths:
        parts = path.split(".")
        if len(path) > MAX_FIELD or not path.isprintable() or not all(part.strip() for part in parts):
            raise AdminError(
                f"{path[:MAX_FIELD]!r} names no field: it looks like email, traits.email or context.page.url"
            )
        if len(parts) == 1 and _letters(path) in _IDS:
            raise AdminError(f"{path!r} is an id, by which events are told apart: nothing of it can be left out")
        if len(parts) == 1 and _letters(path) in _OBJECTS:
            raise AdminError(f"{path!r} is where all fields stand: name one of them, such as {path}.email")


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _checked(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "app_id":
        check_name("client app", value)
        if ":" in value:
            raise AdminError(f"{value!r} cannot be an app id: it has a colon")
        if len(value) < MIN_APP_ID:
            raise AdminError(f"{value!r} cannot be an app id: one has {MIN_APP_ID} characters or more")
    elif name == "origins":
        return [_origin(text) for text in value]
    elif name == "no_visit_hosts":
        check_hosts(value)
    elif name in ("drop_fields", "hash_fields", "strip_queries"):
        _check_fields(value)
    elif name in ("rate_events", "rate_burst"):
        lowest = 0 if name == "rate_events" else 1
        if not lowest <= value <= MAX_RATE:
            raise AdminError(f"{name} is {value}; it lies between {lowest} and {MAX_RATE}")
    elif name == "ip":
        if value not in list(IpMode):
            raise AdminError(f"ip is {value!r}; it is one of {', '.join(IpMode)}")
    elif name == "consent":
        if value not in list(ConsentMode):
            raise AdminError(f"consent is {value!r}; it is one of {', '.join(ConsentMode)}")
    elif name == "order_scope":
        check_name("order scope", value)
    elif name == "webhook_secret":
        if not 1 <= len(value) <= MAX_SECRET or not value.isascii() or not value.isprintable() or " " in value:
            raise AdminError(
                f"the webhook secret has {len(value)} characters; it is what the shop shows: up to {MAX_SECRET} ASCII "
                "characters without spaces"
            )
    elif name != "fold_case":
        raise ValueError(f"no setting {name!r}")
    return value


def _origin(text: str) -> str:
    """Returns an origin in the form in which browsers send it.

    Raises:
        AdminError: it is none.
    """
    if text == "null":
        return text
    website = website_of(text)
    origin = "" if website is None else origin_text(website)
    if _ORIGIN.fullmatch(origin) is None:
        raise AdminError(
            f"{text!r} is not an origin: it looks like https://shop.example or https://*.shop.example, without a path"
        )
    return origin
