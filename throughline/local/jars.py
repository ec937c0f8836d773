"""Kafka's jars: fetched once into the user's Maven repository, their SHA-256 checked at every start.

Every jar is hashed at every start: 56 MB take a tenth of a second, and no earlier check has to be trusted.
"""

import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from throughline.local.errors import LocalError
from throughline.local.reports import Report

LIST = Path(__file__).with_name("kafka-jars.txt")
THREADS = 8
ATTEMPTS = 3
REPORT_EVERY = 10
"""Number of jars between two sentences."""


@dataclass(frozen=True)
class Jar:
    """One file: its Maven coordinates, and its SHA-256 in hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> Path:
        """The place of the file in a Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.name)


def listed(path: Path = LIST) -> list[Jar]:
    """The jars of a list with one `group:artifact:version sha256` a line; by default the one that is committed."""
    jars = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return jars


def user_repository() -> Path:
    """The user's Maven repository, which Java's tools share."""
    return Path.home() / ".m2" / "repository"


def ensure(
    jars: list[Jar], repository: Path, fallback: Path, *, report: Report, stop: Event | None = None
) -> list[Path]:
    """The paths of all `jars`. Missing ones are fetched into `repository`, or `fallback` when that is not writable.

    Blocks on disk and network; setting `stop` ends it between two files.

    Raises:
        LocalError: a file does not have its SHA-256, or cannot be fetched.
    """
    places = {jar: repository / jar.path for jar in jars}
    missing = [jar for jar, path in places.items() if not path.is_file()]
    if missing and not _writable(repository):
        places |= {jar: fallback / jar.path for jar in missing}
        repository = fallback
        missing = [jar for jar in missing if not places[jar].is_file()]
    if missing:
        _fetch(missing, repository, report, stop or Event())

    def check(jar: Jar) -> Path:
        path = places[jar]
        _require_sum(jar, path, f"it was changed or cut short. Remove it and start again: rm {path}")
        return path

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(check, jars))


def _fetch(jars: list[Jar], repository: Path, report: Report, stop: Event) -> None:
    """Fetch into a temporary repository, check, then move: `repository` never holds half a file."""
    from jgo.maven import MavenContext  # half a second and 20 MB, only when something is missing

    repository.mkdir(parents=True, exist_ok=True)
    report(f"Kafka: fetching {len(jars)} jars, once, into {repository}")
    with tempfile.TemporaryDirectory(prefix=".throughline-", dir=repository) as temporary:
        context = MavenContext(repo_cache=Path(temporary), timeout=60)

        def fetch(jar: Jar) -> None:
            if stop.is_set():
                return
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
                    fetched_file = Path(artifact.resolve())
                except Exception as error:
                    shutil.rmtree((Path(temporary) / jar.path).parent, ignore_errors=True)
                    if attempt == ATTEMPTS or stop.is_set():
                        raise LocalError(
                            f"cannot fetch {jar.name} ({error}); "
                            "look at the network and its proxy settings, then start again"
                        ) from error
                else:
                    break
            _require_sum(jar, fetched_file, "what the repository sent is not that file; nothing was kept")
            place = repository / jar.path
            place.parent.mkdir(parents=True, exist_ok=True)
            fetched_file.replace(place)

        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for done, fetched in enumerate(as_completed([pool.submit(fetch, jar) for jar in jars]), 1):
                    fetched.result()
                    if done % REPORT_EVERY == 0 or done == len(jars):
                        report(f"Kafka: {done} of {len(jars)} jars")
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    if stop.is_set():
        raise LocalError("fetching Kafka's jars was interrupted; start again to go on")


def _require_sum(jar: Jar, path: Path, explanation: str) -> None:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}; make it readable for this user") from None
    if sha256 != jar.sha256:
        raise LocalError(
            f"{path} is refused: its SHA-256 is {sha256}, not {jar.sha256} as in {LIST.name}; {explanation}"
        )


def _writable(repository: Path) -> bool:
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=repository):
            return True
    except OSError:
        return False
