"""The servers, once for all cases."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "client"))
import certificates
import targets


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """By the names of the targets."""
    directory = str(tmp_path_factory.mktemp("conform"))
    authority = certificates.Authority(directory, "authority")
    with targets.allod(directory) as plain, targets.allod(directory, authority) as secure, targets.nghttpd(directory) as other:
        yield {target.name: target for target in (plain, secure, other)}
