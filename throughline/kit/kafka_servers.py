"""Where Kafka is, and how a client of it shows who it is: TLS, and a user's password or a client certificate."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True)
class KafkaServers:
    """Bootstrap servers and what they ask of a client; as text, the servers only."""

    bootstrap: str
    """host:port[,host:port]"""
    protocol: SecurityProtocol = "PLAINTEXT"
    mechanism: SaslMechanism = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Authorities that the brokers' certificates are checked against; None: those of the system."""
    cert_file: Path | None = None
    """The client's own certificate, for brokers that ask for one."""
    key_file: Path | None = None
    """Its key; None: it stands in `cert_file`."""
    key_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.bootstrap

    def client_options(self) -> dict[str, Any]:
        """Returns the options of any of aiokafka's clients; the files are read anew each time.

        Raises:
            OSError: a file cannot be read, or holds no certificate or key (`ssl.SSLError`).
        """
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.protocol.startswith("SASL_"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            # A password that is missing must not be asked for on a terminal.
            context.load_cert_chain(self.cert_file, self.key_file, self.key_password or "")
        return context


Servers = KafkaServers | str
"""A string stands for servers that ask nothing of a client."""


def kafka_servers(servers: Servers) -> KafkaServers:
    """Returns the servers of either form."""
    return KafkaServers(servers) if isinstance(servers, str) else servers
