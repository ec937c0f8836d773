"""Tables of who may write and read (workspaces, their sources, write keys, tokens and shared links), what people write
on time axes, and who administered what."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from throughline.store.metadata import metadata
from throughline.store.schema.columns import identity_column
from throughline.store.schema.privileges import ACCESS_OF_INGEST, APPEND, NOTHING, READ, UPDATE, WRITE, Rights, grant

workspaces = Table(
    "workspaces",
    metadata,
    identity_column(),
    Column("name", Text, nullable=False, unique=True),
    Column("time_zone", Text, nullable=False, server_default=text("'UTC'")),
    Column("created_us", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("0")),  # of the generations; staging holds it
    Column("default_model", Text, nullable=False, server_default=text("'seven_phase'")),
    Column("retention_days", Integer),  # how long facts are kept; null: for ever
    Column("horizon_us", BigInteger),  # the retention cutoff: facts that occurred before it are deleted
    Column("suppressed", BigInteger, nullable=False, server_default=text("0")),  # number of its rows in `suppressions`
    Column("no_visit_hosts", ARRAY(Text)),  # referrers that open no visit, for all of its sources; null: none
    Column("hash_key", LargeBinary),  # the secret of `hash_fields` of its sources; null until one of them has some
    Column("min_cell", Integer),  # counts of fewer customers are withheld from answers; null: none
    info=grant(Rights(ingest=READ, stager=UPDATE)),
)

sources = Table(
    "sources",
    metadata,
    identity_column(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("created_us", BigInteger, nullable=False),
    Column("app_id", Text, unique=True),  # name of the source for clients that have no key to send
    Column("origins", ARRAY(Text)),  # websites whose browsers may send; null: any
    Column("no_visit_hosts", ARRAY(Text)),  # referrers that open no visit, besides those known; null: none
    Column("fold_case", Boolean, nullable=False, server_default=text("false")),  # email addresses in lower case, as ids
    Column("order_scope", Text),  # the namespace of its order ids; null: that of the workspace
    Column("consent", Text, nullable=False, server_default=text("'off'")),  # a `ConsentMode`
    Column("ip", Text, nullable=False, server_default=text("'shorten'")),  # an `IpMode`
    Column("rate_events", Integer),  # maximum a second, 0 for none; null: as ingest is set
    Column("rate_burst", Integer),
    Column("drop_fields", ARRAY(Text)),  # paths of members of which nothing is kept; null: none
    Column("hash_fields", ARRAY(Text)),  # paths of members of which a keyed digest is kept
    Column("strip_queries", ARRAY(Text)),  # paths of addresses that keep the query's campaign parameters only
    Column("webhook_secret", Text),  # what a shop signs its webhooks with
    UniqueConstraint("workspace", "name"),
    info=grant(ACCESS_OF_INGEST),
)

write_keys = Table(
    "write_keys",
    metadata,
    identity_column(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the key; the key itself is shown once
    Column("hint", Text, nullable=False),  # its first characters, to tell keys apart in a list
    Column("source", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("expires_us", BigInteger),  # until then a rotated key may be used
    info=grant(ACCESS_OF_INGEST),
)

# Tokens of the api, and sessions of its page. The name is from when tokens could only read: a rename would stop the
# older version during an upgrade.
read_tokens = Table(
    "read_tokens",
    metadata,
    identity_column(),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("scope", Text, nullable=False, server_default=text("'read'")),  # a `Scope`
    Column("created_by", Text),  # who made it; null: a version that did not ask
    Column("expires_us", BigInteger),  # null: never
    Column("last_used_us", BigInteger),  # to the minute; null: not since this column is there
    Column("session_of", BigInteger),  # the token that opened this session of the page; null: a token
    info=grant(Rights(stager=NOTHING, api=WRITE)),  # the api makes and ends sessions
)
Index("read_tokens_sessions", read_tokens.c.session_of, postgresql_where=read_tokens.c.session_of.is_not(None))

# One-time codes of links that open the page with a token. A code that was used is deleted.
page_codes = Table(
    "page_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    info=grant(Rights(stager=NOTHING, api=READ | {"DELETE"})),
)

# Shared links: each opens one view of the page with a token of its own, which may ask the view's questions only.
shares = Table(
    "shares",
    metadata,
    identity_column(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of its token
    Column("hint", Text, nullable=False),
    Column("workspace", BigInteger, nullable=False),
    Column("token", BigInteger, nullable=False),  # the token that made it, with which it ends
    Column("name", Text, nullable=False),
    Column("view", Text, nullable=False),  # what follows the page's address
    Column("questions", ARRAY(Text), nullable=False),  # paths of the api with their parameters
    Column("question_digests", LargeBinary, nullable=False),  # of these, one after the other
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    info=grant(Rights(stager=NOTHING, api=WRITE)),
)
Index("shares_by_workspace", shares.c.workspace, shares.c.id)

# What people write on the time axes of a workspace.
annotations = Table(
    "annotations",
    metadata,
    identity_column(),
    Column("workspace", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("until_us", BigInteger),  # null: an instant
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    info=grant(Rights(stager=NOTHING, api=WRITE)),
)
Index("annotations_by_time", annotations.c.workspace, annotations.c.at_us, annotations.c.id)

# Who administered what. A row is written in the transaction of the change and stays for ever.
audit_log = Table(
    "audit_log",
    metadata,
    identity_column(),
    Column("at_us", BigInteger, nullable=False),
    Column("who", Text, nullable=False),  # user@host of a command, or a token of the api
    Column("action", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),  # neither secrets nor ids of persons
    info=grant(Rights(stager=NOTHING, api=APPEND, admin=APPEND)),
)
