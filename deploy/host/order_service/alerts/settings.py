"""Who is told, and how: /etc/order-service/alerts.json, which the role `monitoring` writes.

It may hold secrets in each of its values, so it is root's alone, and nothing of it is written
anywhere else.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from order_service.host import SETTINGS, CommandError, read_json

PATH = SETTINGS / "alerts.json"
# What a template may have in its texts, such as $text. roles/control refuses all others.
PLACEHOLDERS = (
    "action", "advice", "alert", "guide", "host", "key", "severity", "since", "state", "text",
    "title",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The file's content; an empty address tells nobody."""

    host: str
    url: str = ""
    heartbeat_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    # What is sent, as JSON, with placeholders in its texts. Slack and Mattermost take this one.
    template: Mapping[str, Any] = field(default_factory=lambda: {"text": "$text"})


def load() -> Settings:
    """Return the settings.

    Raises:
        CommandError: there are none, or the template is wrong.
    """
    found = read_json(PATH, None)
    if found is None:
        raise CommandError(f"{PATH} does not exist; set alert_url or heartbeat_url, run deploy.yml")
    known = {one.name for one in fields(Settings)}
    settings = Settings(**{name: value for name, value in found.items() if name in known})
    for text in _texts(settings.template):
        template = string.Template(text)
        if not template.is_valid() or set(template.get_identifiers()) - set(PLACEHOLDERS):
            expected = ", ".join(f"${name}" for name in PLACEHOLDERS)
            raise CommandError(
                f"{PATH}: the template has a placeholder that is none of {expected}; write $$ for a"
                " dollar, and run deploy.yml"
            )
    return settings


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """Return the template with values in its texts, which are never read as JSON."""
    if isinstance(template, str):
        return string.Template(template).substitute(values)
    if isinstance(template, Mapping):
        return {name: filled(one, values) for name, one in template.items()}
    if isinstance(template, list):
        return [filled(one, values) for one in template]
    return template


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping | list):
        for one in template.values() if isinstance(template, Mapping) else template:
            yield from _texts(one)
