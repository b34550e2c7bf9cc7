"""What clients get from a release, counted from nginx's log while that is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from order_service.host import CommandError
from order_service.release import answers, maintenance

from tests.support.fake_docker import FakeDocker

ADDRESS = "192.168.213.11"


def line(upstream: str, status: str) -> str:
    """Return a line of the log."""
    return f'{{"upstream": "{upstream}", "status": "{status}"}}'


def test_answers_are_those_of_one_address_and_of_nobody(docker: FakeDocker) -> None:
    """With several upstreams nginx names all; with none, `-` or nothing."""
    now = datetime.now(UTC)
    docker.log(line(f"{ADDRESS}:5000", "500"), now - timedelta(minutes=1))
    docker.log(line(f"{ADDRESS}:5000", "201"), now + timedelta(seconds=1))
    with answers.followed(ADDRESS) as counted:
        for upstream, status in [
            (f"192.168.213.10:5000, {ADDRESS}:5000", "503"),
            ("-", "502"),
            ("", "504"),
            ("-", "429"),
            ("192.168.213.10:5000", "500"),
        ]:
            docker.log(line(upstream, status))
        for text in ("nginx: no JSON", "[]", '{"status": "500"}', "", "x" * 200_000):
            docker.log(text)
        docker.log(line(f"{ADDRESS}:5000", "200"))
        counted.read()
        assert (counted.all, counted.bad) == (5, 3)


def test_the_log_is_read_once_however_often_it_is_looked_at(docker: FakeDocker) -> None:
    """A line that is half there is counted when its end comes."""
    with answers.followed(ADDRESS) as counted:
        for number in range(50):
            whole = line(f"{ADDRESS}:5000", "200")
            docker.following[0].write_raw(whole[:20])
            counted.read()
            assert counted.all == number
            docker.following[0].write_raw(f"{whole[20:]}\n")
            counted.read()
            assert counted.all == number + 1
    assert len(docker.following) == 1
    assert docker.following[0].ended


def test_a_log_that_ends_is_no_good_sign(docker: FakeDocker) -> None:
    with answers.followed(ADDRESS) as counted:
        docker.log(line(f"{ADDRESS}:5000", "200"))
        docker.following[0].kill()
        with pytest.raises(CommandError, match="nginx's log has ended"):
            counted.read()
    assert counted.all == 1


@pytest.mark.usefixtures("root")
def test_a_503_of_before_the_service_was_opened_is_nobodys_fault(docker: FakeDocker) -> None:
    maintenance.on("planned work")
    with answers.followed(ADDRESS) as counted:
        counted.read()
        docker.log(line("-", "503"))
        maintenance.off()
        counted.read()
        assert counted.bad == 0
        docker.log(line("-", "503"))
        counted.read()
        assert counted.bad == 1
