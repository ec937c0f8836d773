"""`throughline secrets`: the keys that encrypt the secrets of webhooks."""

import typer

from throughline.cli.common.database import administer, choose_secret_box
from throughline.cli.common.options import DataOption, JsonOption, command_group
from throughline.cli.common.output import fail, show_json, show_result
from throughline.cli.common.status import Status
from throughline.kit.secret_box import new_key
from throughline.store.access.webhook_secrets import reseal_secrets

secrets = command_group("Encrypt the secrets of webhooks with ENCRYPTION_KEYS.")


@secrets.command("key")
def show_new_key(as_json: JsonOption = False) -> None:
    """Print a new random key for ENCRYPTION_KEYS; it is stored nowhere."""
    key = new_key()
    if as_json:
        show_json({"key": key})
    else:
        typer.echo(key)


@secrets.command("rotate")
def rotate_secrets(as_json: JsonOption = False, data: DataOption = None) -> None:
    """Encrypt every webhook secret anew with the first of ENCRYPTION_KEYS, those too that are not encrypted yet.

    To change the key: put the new one first, for ingest too; rotate; then take the old one away.
    """
    box = choose_secret_box(data)
    if not box.has_keys:
        fail(
            "ENCRYPTION_KEYS is not set; make a key with `throughline secrets key`, and give it to ingest too",
            Status.WRONG_USE,
        )
    resealed = administer(
        "secrets rotate", lambda c: reseal_secrets(c, box), data, {}, outcome=lambda r: {"secrets": len(r.sealed)}
    )
    show_result(
        {"encrypted": list(resealed.sealed), "unreadable": list(resealed.unreadable)},
        f"encrypted with the first key: {len(resealed.sealed)} webhook secrets",
        as_json=as_json,
    )
    if resealed.unreadable:
        fail(
            f"none of ENCRYPTION_KEYS has encrypted those of {', '.join(resealed.unreadable)}; add the key that did, "
            "or set them again (throughline source set WORKSPACE SOURCE --webhook-secret -)"
        )
