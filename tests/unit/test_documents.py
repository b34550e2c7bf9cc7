"""The documents: what they lead to is there, and what they tell people to call exists."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
NAMES = ("README.md", "REMOTE_SERVER_SETUP.md", "DESIGN_DECISION.md")
TEXTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in NAMES}
CONTROL = yaml.safe_load((ANSIBLE / "roles/control/vars/main.yml").read_text())
OPTIONS: list[str] = CONTROL["control_playbook_options"]
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return what a heading is called in an address, as GitHub does it."""
    titles = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_each_link_leads_somewhere(name: str) -> None:
    links = [one or other for one, other in LINK.findall(without_code(TEXTS[name]))]
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        assert (REPOSITORY / path).exists(), link
        if anchor:
            assert anchor in anchors(TEXTS[path or name]), link


@pytest.mark.parametrize("name", ["README.md", "REMOTE_SERVER_SETUP.md"])
def test_the_contents_have_each_chapter(name: str) -> None:
    beginning, _, rest = without_code(TEXTS[name]).partition("\n## ")
    chapters = anchors("\n".join(re.findall(r"^## .*$", f"## {rest}", re.MULTILINE)))
    assert len(chapters) > 10
    assert chapters - set(re.findall(r"\(#([\w-]+)\)", beginning)) == set()


def test_each_playbook_is_in_the_guide_and_each_that_it_names_is_there() -> None:
    there = {path.name for path in ANSIBLE.glob("*.yml") if "inventory" not in path.name}
    table = TEXTS["REMOTE_SERVER_SETUP.md"].partition("\n## The playbooks\n")[2]
    listed = re.findall(r"^\| (`.*?) \|", table.partition("\n## ")[0], re.MULTILINE)
    assert {name for cell in listed for name in re.findall(r"`(\w+\.yml)`", cell)} == there
    called = re.findall(r"ansible-playbook (?:-\S+ \S+ )*(\w+\.yml)", "".join(TEXTS.values()))
    assert set(called) <= there


def test_each_option_that_is_named_is_one_of_a_playbook() -> None:
    specs = [
        yaml.safe_load((ANSIBLE / "roles" / role / "meta/argument_specs.yml").read_text())
        for role in ("control", "restore")
    ]
    known = {name for one in specs for name in one["argument_specs"]["main"]["options"]}
    named = set(re.findall(r"-e\s+'?(\w+)=", "".join(TEXTS.values())))
    assert len(named) > 15
    # The last one stands for any.
    assert named - known - set(OPTIONS) == {"name"}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_of_a_playbook_is_in_the_guide(option: str) -> None:
    assert re.search(rf"\b{option}=", TEXTS["REMOTE_SERVER_SETUP.md"])


def test_each_target_of_make_is_there() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    code = "\n".join(
        line
        for text in TEXTS.values()
        for line in re.findall(r"`[^`\n]+`|^make .*$", text, re.MULTILINE)
    )
    called = set(re.findall(r"(?:^|`|CI=true )make ([a-z-]+)", code, re.MULTILINE))
    assert len(called) > 5
    assert called - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set()


def test_the_next_migration_has_the_number_that_is_told() -> None:
    versions = (REPOSITORY / "service/storage/migrations/versions").glob("[0-9]*.py")
    last = max(int(path.name.partition("_")[0]) for path in versions)
    assert f"--rev-id {last + 1:04d} " in TEXTS["README.md"]
