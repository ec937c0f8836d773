"""The list of referring sites is what `make referrers` makes of the package that keeps it."""

from services.ingest.enrich.referrers import NOT_LISTED, Site, site_named, site_of
from tools.referrer_list import LISTED, made


def test_the_list_is_up_to_date() -> None:
    assert LISTED.read_text(encoding="utf-8") == made(), "referrers.txt is not that of the package: `make referrers`"


def test_what_we_add_is_not_in_the_list_yet() -> None:
    listed = {
        host for line in made().splitlines() if not line.startswith("#") for host in line.split("\t")[2].split(" ")
    }
    ours = {host for _, _, hosts in NOT_LISTED for host in hosts.split()}
    assert not ours & listed, "the list has caught up: take these out of NOT_LISTED"


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
