"""The whole contract from outside the host, with the authority that the playbook has fetched."""

from __future__ import annotations

import pytest

from tests.stack.test_contract import *  # noqa: F403 - the tests, and their fixtures
from tests.support.deployment import Deployment
from tests.support.stack import StackClient


@pytest.fixture(scope="module")
def stack(deployment: Deployment) -> Deployment:
    return deployment


@pytest.fixture(scope="module")
def client(deployment: Deployment) -> StackClient:
    return deployment.client()
