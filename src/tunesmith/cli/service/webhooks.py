"""`tunesmith webhooks`: whether they are heard, and a secret to sign them with."""

from __future__ import annotations

import base64
import secrets
import sys

import click

from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import echo, gettext
from tunesmith.errors import invalid
from tunesmith.experiments.notify.announcements import ping
from tunesmith.settings import Settings

KEY_BYTES = 32


@click.group(cls=OnceGroup)
def webhooks() -> None:
    """Test the webhooks that TUNESMITH_WEBHOOKS names, and make a secret for them."""


@webhooks.command()
def test() -> None:
    """Post a ping to every webhook; exit code 1 when one was not heard."""
    settings = Settings.read()
    if not settings.webhook_addresses:
        message = gettext("no address is set, such as https://example.com/hooks/tunesmith")
        raise invalid("TUNESMITH_WEBHOOKS", message, place=gettext("environment or .env:"))
    troubles = 0
    for where, trouble in ping(settings):
        heard = gettext("not heard: {why}", why=trouble) if trouble else gettext("heard")
        echo(f"{where}  {heard}")
        troubles += trouble is not None
    sys.exit(1 if troubles else 0)


@webhooks.command()
def secret() -> None:
    """Make a secret for TUNESMITH_WEBHOOK_SECRET, and for those who receive; it is not kept."""
    echo(f"whsec_{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}")
