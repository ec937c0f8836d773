"""The list of referring sites: up to date with its package, and how hosts are looked up in it."""

from services.ingest.enrich.referrers import NOT_LISTED, Site, site_named, site_of
from tools.referrer_list import LIST_FILE, list_text


def test_the_list_is_up_to_date() -> None:
    assert LIST_FILE.read_text(encoding="utf-8") == list_text(), (
        "referrers.txt is older than the package: `make referrers`"
    )


def test_not_listed_sites_are_not_in_the_package() -> None:
    listed = {
        host for line in list_text().splitlines() if not line.startswith("#") for host in line.split("\t")[2].split(" ")
    }
    added = {host for _, _, hosts in NOT_LISTED for host in hosts.split()}
    assert not added & listed, "the package lists these too: remove them from NOT_LISTED"


def test_sites() -> None:
    assert site_of("google.com", "/search") == site_of("google.de") == Site("google", "search")
    assert site_of("orange.fr", "/webmail/inbox") == Site("orange webmail", "email")
    assert site_of("de.search.yahoo.com") == Site("yahoo!", "search")
    assert site_of("docs.google.com") == Site("google", "other")
    assert site_of("old.reddit.com") == Site("reddit", "social")
    assert site_of("com") is None
    assert site_of("a." * 200 + "google.com") is None
    assert site_named("youtube") == Site("youtube", "video")
    assert site_named("orange.example") is None
