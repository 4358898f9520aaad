"""What Prefect's server does by itself for the deployments: a step of `prefect deploy`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import click
import yaml
from prefect.automations import Automation
from prefect.blocks.abstract import NotificationError
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from pydantic import SecretStr

from mlp_core.errors import InputError

WEBHOOK_URL = "DEEP_MLP_WEBHOOK_URL"
"""Environment variable with the address to tell of drifted, failed and crashed runs; without it nobody is told."""
_BLOCK = "deep-mlp"
_SERVICES = ("hooks.slack.com", "discord.com", "discordapp.com", "ntfy.sh", "logic.azure.com", "powerplatform.com")
_TEXT_ALONE = {":message": "text", ":title": "", ":version": "", ":attachments": "", ":type": ""}


def create_automations(path: str) -> None:
    """Create the Prefect automations that a YAML file describes, or update those of the same name.

    Args:
        path: YAML file as `prefect automation create --from-file` takes it. An action `send-notification` needs no
            block: it gets one for the address in `DEEP_MLP_WEBHOOK_URL`. Without that variable, automations with such
            an action are left out.

    Raises:
        InputError: If `DEEP_MLP_WEBHOOK_URL` is not an address.
    """
    url = os.environ.get(WEBHOOK_URL)
    block = _notifier(url) if url else None
    with get_client(sync_client=True) as client:
        for described in yaml.safe_load(Path(path).read_text(encoding="utf-8"))["automations"]:
            notices = [action for action in described["actions"] if action["type"] == "send-notification"]
            if notices and not block:
                continue
            for action in notices:
                action["block_document_id"] = block
            _create_or_update(client, described)


def address_of(url: str) -> str:
    """Return a webhook address in the form that Apprise needs, the library that sends Prefect's notifications.

    Addresses of Slack, Discord, Teams, ntfy and Apprise's own schemes stay as they are. Any other http(s) address
    becomes one that gets `{"text": "..."}` as JSON.

    Args:
        url: The address that a service gives for its webhook, or one of Apprise's own.

    Raises:
        InputError: If it is not an address.

    Example:
        >>> address_of("https://discord.com/api/webhooks/1/x"), address_of("ntfy://localhost:8080/deep-mlp")
        ('https://discord.com/api/webhooks/1/x', 'ntfy://localhost:8080/deep-mlp')
        >>> address_of("https://chat.example.org/hooks/x?token=1")
        'jsons://chat.example.org/hooks/x?-token=1&:message=text&:title=&:version=&:attachments=&:type='
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or not parts.scheme:
        message = (
            f"{WEBHOOK_URL} must be an address such as https://HOST/PATH or ntfy://HOST/TOPIC, got {url!r}; "
            f"unset it for no notices."
        )
        raise InputError(message)
    if parts.scheme not in ("http", "https") or host.endswith(_SERVICES):
        return url
    query = urlencode({f"-{name}": value for name, value in parse_qsl(parts.query)} | _TEXT_ALONE, safe=":")
    return parts._replace(scheme={"http": "json", "https": "jsons"}[parts.scheme], query=query).geturl()


def _notifier(url: str) -> str:
    """Keep where notices go, send a first one, and return the block's id.

    The block for Slack sends to any of Apprise's addresses. Where notices are refused nobody would miss them: so this
    one says it now.
    """
    block = SlackWebhook(url=SecretStr(address_of(url)))
    try:
        with block.raise_on_failure():
            block.notify(body="Runs that drifted, failed or crashed are told here.", subject="deep-mlp")
    except NotificationError as error:
        reason = " ".join(error.log.split()) or "not an address of a service that Apprise knows"
        click.echo(f"deep-mlp: a first notice to {WEBHOOK_URL} failed, and so will others: {reason}")
    return str(block.save(_BLOCK, overwrite=True, _sync=True))  # type: ignore[call-arg] # of `async_dispatch`


def _create_or_update(client: SyncPrefectClient, described: dict[str, Any]) -> None:
    wanted = AutomationCore.model_validate(described)
    for existing in client.read_automations_by_name(wanted.name):
        Automation(id=existing.id, **wanted.model_dump()).update()
        return
    client.create_automation(wanted)
