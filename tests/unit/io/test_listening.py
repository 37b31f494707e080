"""Hosts of this machine, and the port that a server takes."""

import pytest

from likewise.errors import ArgumentError
from likewise.io.listening import is_loopback, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_hosts_can_be_reached_from_this_machine_only(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_hosts_are_no_loopback(host):
    assert not is_loopback(host)


def test_the_first_free_port_is_taken():
    with listen("127.0.0.1", [0]) as one:
        taken = one.getsockname()[1]
        with listen("127.0.0.1", [taken, 0]) as other:
            assert other.getsockname()[1] != taken
        with pytest.raises(ArgumentError, match=f"port {taken}.*--port"):
            listen("127.0.0.1", [taken])


def test_a_host_of_another_machine_is_refused():
    with pytest.raises(ArgumentError, match="cannot listen on 192"):
        listen("192.0.2.1", [0])
