"""Named protocols of few-shot segmentation: which episodes, at which size, counted how.

A protocol draws its episodes from the entries of a data set and a seed, without a global generator and before any image
is read, so the list is the same for any number of workers. The docstring of each protocol states what it reproduces
from its paper and its known flaws. With entries missing, a protocol uses those that are present: report how many
(`EpisodeSet.presence`) beside the number.
"""

from likewise.errors import check_known
from likewise.evaluate.protocols.fscs import FSCS2022
from likewise.evaluate.protocols.likewise1 import Likewise1
from likewise.evaluate.protocols.papers import FSSHSNet2021, HSNet2021, PANet2019, PFENet2020
from likewise.evaluate.protocols.protocol import Protocol

__all__ = ["FSCS2022", "PROTOCOLS", "Likewise1", "Protocol", "find_protocol"]

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (PANet2019(), PFENet2020(), HSNet2021(), FSSHSNet2021(), FSCS2022(), Likewise1())
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name; an unknown name raises `ArgumentError`."""
    check_known(name, PROTOCOLS, "protocol")
    return PROTOCOLS[name]
