"""The dashboard shows exactly the metrics that exist."""

import json
import re
from pathlib import Path
from typing import get_args

from prometheus_client.parser import text_string_to_metric_families

from sayline_tts.server.metrics import Metrics, Role

DASHBOARD = json.loads((Path(__file__).parents[2] / "deploy" / "grafana.json").read_text("utf-8"))
PANELS = DASHBOARD["panels"]
HISTOGRAM = ("_bucket", "_sum", "_count")


def queried() -> set[str]:
    """Names of the series in the panels' queries."""
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return {name for query in queries for name in re.findall(r"\b(?:sayline|process)_[a-z_]+", query)}


def existing() -> dict[str, set[str]]:
    """The series of each metric."""
    families = text_string_to_metric_families(Metrics().render()[0].decode())
    endings = {"histogram": HISTOGRAM, "counter": ("_total",)}
    return {family.name: {family.name + end for end in endings.get(family.type, ("",))} for family in families}


def test_queried_metrics_exist() -> None:
    assert queried() <= set().union(*existing().values())


def test_every_metric_is_shown() -> None:
    hidden = [name for name, series in existing().items() if not series & queried()]
    assert not hidden


def test_queries_select_the_chosen_instances() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            assert target["expr"].count('{instance=~"$instance"') == len(
                re.findall(r"\b(?:sayline|process)_[a-z_]+", target["expr"])
            ), target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")")


def test_instances_are_offered_by_role() -> None:
    """Fronts, engines and servers are told apart."""
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["source", "role", "instance"]
    _, role, instance = (variable["query"] for variable in DASHBOARD["templating"]["list"])
    assert role["query"] == "label_values(sayline_process_info, role)"
    assert instance["query"] == 'label_values(sayline_process_info{role=~"$role"}, instance)'
    roles = {
        role for panel in PANELS for each in panel["targets"] for role in re.findall('role="([a-z]+)"', each["expr"])
    }
    assert roles <= set(get_args(Role))


def test_panel_titles_are_unique_and_panels_do_not_overlap() -> None:
    assert len({panel["title"] for panel in PANELS}) == len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}
    assert len(places) == len(PANELS)
    assert {(panel["gridPos"]["w"], panel["gridPos"]["h"]) for panel in PANELS} == {(8, 8)}
