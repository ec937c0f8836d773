"""Referrers that bring nobody: other hosts of the same site, and pages where a customer pays or logs in. Pure."""

import re
from functools import lru_cache
from pathlib import Path

from publicsuffixlist import PublicSuffixList

_suffixes = PublicSuffixList()
"""The public-suffix list of the package, which is renewed with it. Hosts of different shops on one platform differ."""
_LIST = Path(__file__).with_name("own_pages.txt")


def _listed(kind: str) -> frozenset[str]:
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line.removeprefix(f"{kind} ") for line in lines if line.startswith(f"{kind} "))


_ADDRESS = re.compile(r"[\d.]+|.*:.*")

_BRANDS = _listed("brand")
"""Names of payment and login services: the label before a public suffix."""
_HOSTS = _listed("host")
"""Hosts of such pages, with those below them."""
_SUBDOMAIN = re.compile(r"(?:^|[.-])(?:acs\d*|3-?ds\d*|vbv|securecode)(?:[.-]|$)")
"""Hosts of banks that ask for a card's second factor."""
_ACCOUNTS = re.compile(r"accounts\.google(?:\.[a-z]{2,3}){1,2}|(?:pay|payments|checkout)\.amazon(?:\.[a-z]{2,3}){1,2}")


@lru_cache(maxsize=1024)
def registrable_domain(host: str) -> str:
    """Returns the domain that somebody registered, of a host in lower case; the host itself if there is none."""
    if _ADDRESS.fullmatch(host):
        return host
    return _suffixes.privatesuffix(host) or host


def same_site(host: str, landing_host: str) -> bool:
    """Returns whether both hosts are of one site: one below the other, or both of one registrable domain."""
    return landing_host != "" and (
        host == landing_host
        or host.endswith(f".{landing_host}")
        or landing_host.endswith(f".{host}")
        or ("." in host and registrable_domain(host) == registrable_domain(landing_host))
    )


@lru_cache(maxsize=1024)
def opens_no_visit(host: str) -> bool:
    """Returns whether pages of this host send back a customer who was there already, to pay or to log in."""
    domain = registrable_domain(host)
    if domain.partition(".")[0] in _BRANDS or "3dsecure" in host or "3d-secure" in host:
        return True
    if _ACCOUNTS.fullmatch(host) or _SUBDOMAIN.search(host.removesuffix(domain)):
        return True
    labels = host.split(".")
    return any(".".join(labels[start:]) in _HOSTS for start in range(max(0, len(labels) - 5), len(labels)))
