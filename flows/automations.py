"""What Prefect's server does by itself for the deployments: a step of `prefect deploy`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore

WEBHOOK_URL = "DEEP_MLP_WEBHOOK_URL"
"""Environment variable with the address to tell of drifted, failed and crashed runs; without it nobody is told."""
_BLOCK = "deep-mlp"


def create_automations(path: str) -> None:
    """Create the automations of a file, or bring those of the same name up to date.

    Args:
        path: YAML file as `prefect automation create --from-file` takes it. An action `call-webhook` needs no block:
            it gets one for the address in `DEEP_MLP_WEBHOOK_URL`, and its automation is left out if there is none.
    """
    url = os.environ.get(WEBHOOK_URL)
    with get_client(sync_client=True) as client:
        for described in yaml.safe_load(Path(path).read_text(encoding="utf-8"))["automations"]:
            calls = [action for action in described["actions"] if action["type"] == "call-webhook"]
            if calls and not url:
                continue
            for action in calls:
                action["block_document_id"] = _webhook(url)
            _create_or_update(client, described)


def _webhook(url: str | None) -> str:
    webhook = Webhook(url=url, headers={"Content-Type": "application/json"})
    return str(webhook.save(_BLOCK, overwrite=True, _sync=True))


def _create_or_update(client: SyncPrefectClient, described: dict[str, Any]) -> None:
    wanted = AutomationCore.model_validate(described)
    for existing in client.read_automations_by_name(wanted.name):
        Automation(id=existing.id, **wanted.model_dump()).update()
        return
    client.create_automation(wanted)
