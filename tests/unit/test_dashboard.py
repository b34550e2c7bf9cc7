"""Grafana's dashboard by its form; its queries are run in tests/service/server/test_prometheus."""

from __future__ import annotations

import itertools
import json
from typing import Any

import yaml

from tests.support.prometheus import MONITORING

GRAFANA = MONITORING / "grafana"
DASHBOARD: dict[str, Any] = json.loads(
    (GRAFANA / "dashboards" / "order-service.json").read_text(encoding="utf-8")
)
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
COLUMNS = 24


def test_it_is_the_same_one_for_each_grafana_and_takes_any_prometheus() -> None:
    assert DASHBOARD["uid"] == "order-service"
    assert DASHBOARD.get("id") is None
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["name"]) == ("datasource", "datasource")
    own = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        assert panel["datasource"] == own, panel["title"]
        assert [target["datasource"] for target in panel["targets"]] == [own] * len(
            panel["targets"]
        )


def test_each_panel_says_what_it_shows() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    for panels, name in ((DASHBOARD["panels"], "id"), (PANELS, "title")):
        named = [panel[name] for panel in panels]
        assert sorted(set(named)) == sorted(named)


def test_rates_fit_the_resolution() -> None:
    """A fixed range is too short for a long time, and hides what happens in a short one."""
    for panel in PANELS:
        for target in panel["targets"]:
            ranges = target["expr"].count("[")
            assert target["expr"].count("[$__rate_interval]") == ranges, target["expr"]
            assert ranges == target["expr"].count("rate("), target["expr"]


def test_no_panel_covers_another() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS, panel["title"]
        return set(
            itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
        )

    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        for cell in cells(panel):
            assert cell not in taken, (panel["title"], taken[cell])
            taken[cell] = panel["title"]
    assert ROWS[0]["gridPos"]["y"] == 0


def test_grafana_is_told_of_it_and_of_prometheus() -> None:
    compose = yaml.safe_load((MONITORING.parent.parent / "docker-compose.yml").read_text())
    services = compose["services"]
    mounts = dict(one.split(":")[:2] for one in services["grafana"]["volumes"])
    provisioning = GRAFANA / "provisioning"
    assert mounts["./deploy/monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "order-service.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == mounts["./deploy/monitoring/grafana/dashboards"]
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    interval = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == interval["scrape_interval"]


def test_what_is_published_is_for_this_host_only_and_no_password_is_in_an_environment() -> None:
    services = yaml.safe_load((MONITORING.parent.parent / "docker-compose.yml").read_text())[
        "services"
    ]
    for name in ("prometheus", "grafana"):
        service = services[name]
        assert service["profiles"] == ["monitoring"]
        assert [port.split(":")[0] for port in service["ports"]] == ["127.0.0.1"]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert service["user"].split(":")[0] not in ("", "0")
    secret = {k: v for k, v in services["grafana"]["environment"].items() if "PASSWORD" in k}
    assert secret == {"GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/grafana_password"}
