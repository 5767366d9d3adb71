"""Argument specifications say what the settings model says, and READMEs what the specifications say."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model
from role_documents import ROLES, readme, specification

from conftest import CHECKOUT

ALL = sorted(path.name for path in ROLES.iterdir())


@pytest.mark.parametrize("role", ALL)
def test_the_specification_is_the_model(role: str) -> None:
    written = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())
    assert written == specification(role), "run python tests/ansible/role_documents.py --write"


@pytest.mark.parametrize("role", ALL)
def test_the_readme_is_the_specification(role: str) -> None:
    assert (ROLES / role / "README.md").read_text() == readme(role), (
        "run python tests/ansible/role_documents.py --write"
    )


def test_every_deployment_variable_is_declared_where_it_is_used() -> None:
    assert inventory_model.deployment_variables() == {
        "capture_build_directory",
        "capture_build_environment",
        "capture_choose_again",
        "capture_lab",
        "capture_plan",
        "capture_reboot_reasons",
        "capture_rollback_purge",
    }


@pytest.mark.parametrize(
    "path", sorted(CHECKOUT.glob("roles/*/tasks/*.yml")), ids=lambda path: "/".join(path.parts[-3:])
)
def test_a_file_of_tasks_fits_a_screen_or_two(path: object) -> None:
    assert len(path.read_text().splitlines()) <= 100
