"""Blue and green: what is started in them, and what answers there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from order_service.host import CommandError
from order_service.release import colours
from order_service.release.colours import Colour

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost

BLUE = Colour("blue")


@contextmanager
def answering(text: bytes) -> Iterator[int]:
    """Listen on the blue address, say this to the first who comes, and hang up."""
    with socket.create_server((BLUE.address, 0)) as listener:

        def say() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(text)

        thread = threading.Thread(target=say)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"nonsense\r\n\r\n", (0, {"error": "nonsense\r\n"})),
        (b"HTTP/1.1 200 OK\r\n\r\nno JSON", (0, None)),
        (b"HTTP/1.1 503 Busy\r\n\r\nno JSON", (503, {})),
        (b'HTTP/1.1 503 Busy\r\n\r\n{"error": "no database"}', (503, {"error": "no database"})),
    ],
)
@pytest.mark.usefixtures("on")
def test_what_answers_is_not_ready_by_any_nonsense(
    monkeypatch: pytest.MonkeyPatch, text: bytes, expected: tuple[int, dict[str, str] | None]
) -> None:
    with answering(text) as port:
        monkeypatch.setattr(colours, "PORT", port)
        status, answer = BLUE.readiness()
    assert status == expected[0]
    assert expected[1] in (None, answer)


def test_where_nothing_answers_nothing_is_ready(on: FakeHost, docker: FakeDocker) -> None:
    assert BLUE.readiness() == (200, {"release": "old"})
    docker.containers.clear()
    status, answer = BLUE.readiness()
    assert status == 0
    assert answer["error"]
    assert on.runs == {}


@pytest.mark.usefixtures("on")
def test_workers_of_their_own_are_started_with_the_service(docker: FakeDocker) -> None:
    docker.services = ["app", "worker"]
    Colour("green").start("new")
    started = [name for name in docker.containers if "green" in name]
    assert started == ["order-service-green-app-1", "order-service-green-worker-1"]
    assert Colour("green").release() == "new"
    Colour("green").stop()
    assert Colour("green").containers() == []


def test_the_place_that_nginx_sends_to_is_read_from_what_it_is_told(on: FakeHost) -> None:
    assert colours.serving() == BLUE
    upstream = on.root / "upstream" / "server.conf"
    upstream.write_text(colours.upstream_for(Colour("green")))
    assert colours.serving() == Colour("green")
    # .110 is not .11
    upstream.write_text(f"server {on.addresses['green']}0:5000;\n")
    with pytest.raises(CommandError, match="names neither blue nor green"):
        colours.serving()


def test_another_compose_or_comment_wants_no_change_but_a_setting_does(
    on: FakeHost, docker: FakeDocker
) -> None:
    Colour("green").start("new")
    docker.hashes["app"] = "of-another-version"
    settings = on.root / "stack/.env"
    settings.write_text(settings.read_text() + "# a comment\n")
    assert not Colour("green").wants_change("new")
    settings.write_text(settings.read_text() + "app: another\n")
    assert Colour("green").wants_change("new")


def test_another_image_of_the_same_name_is_a_change(docker: FakeDocker, on: FakeHost) -> None:
    Colour("green").start("new")
    assert on.runs["green"] == "new"
    docker.containers["order-service-green-app-1"].image = "sha256:former"
    assert Colour("green").wants_change("new")
