"""HTTP/2 and HPACK to the letter, plain and by TLS, measured by nghttpd: `pytest -s` shows the table of differences."""

import pytest

import h2_cases
import hpack_cases  # adds its cases to the others
import link
import targets
from h2_cases import CASES

# What nghttp2 itself does otherwise, and so both servers. A case that begins to pass must leave this list.
ALSO_NGHTTPD = {
    "9113 6.9.2 an initial window that makes a stream's overflow":
        "nghttp2 resets the stream whose window overflows with FLOW_CONTROL_ERROR and keeps the connection: nobody can be harmed by that.",
    "9113 8.3.1 :authority with userinfo":
        "the RFC forbids clients to send it and does not say what a server does; nothing is decided by :authority here.",
}

differences = []


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    for line in differences:
        print("\n" + line, end="")
    print(f"\n{len(CASES)} cases, {len(differences)} that differ or fail\n")


def test_titles():
    """Each case has a title of its own, and what is said to fail is a case."""
    titles = [title for title, _, _ in CASES]
    assert len(set(titles)) == len(titles) > 200
    assert set(ALSO_NGHTTPD) <= set(titles)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_case(house, case):
    title = case[0]
    seen = {name: targets.outcome(target, case) for name, target in house.items()}
    if any(seen.values()):
        differences.append(title + ": " + "; ".join(f"{name}: {why or 'as it should be'}" for name, why in seen.items()))
    expected = title in ALSO_NGHTTPD
    assert {name: why is not None for name, why in seen.items() if name != "nghttpd"} == {
        name: expected for name in seen if name != "nghttpd"}, seen
    assert not expected or seen["nghttpd"], "nghttpd does it"


def test_a_wrong_server_is_found(house):
    """The cases fail where the server is expected to do the opposite: what they ask for is really looked at."""
    c = link.Link(house["allod"]).greet()
    for claim in (lambda: c.connection_error(link.PROTOCOL_ERROR), lambda: c.stream_error(1, link.STREAM_CLOSED), lambda: c.malformed(1)):
        with pytest.raises(link.Failure):
            claim()
    c.send(link.headers(2, h2_cases.get(c)))
    with pytest.raises(link.Failure):
        c.unmoved()
    with pytest.raises(link.Failure):
        c.connection_error(link.STREAM_CLOSED)
    with pytest.raises(link.Failure):
        c.answer(2)
    c.close()
