"""Settings of Kafka's security: what fits together, and sentences for what does not."""

from pathlib import Path

import pytest

from tests.support.certificates import Authority
from throughline.kit.settings import CommandSettings, IngestSettings, MigrateSettings, SettingsError, load

SASL = {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "ada", "KAFKA_SASL_PASSWORD": "s3cret"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"),
        ({**SASL, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_PASSWORD": ""}, "needs KAFKA_SASL_PASSWORD"),
        ({**SASL, "KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        (SASL, "PLAINTEXT takes no KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"),
        ({**SASL, "KAFKA_SECURITY_PROTOCOL": "SSL"}, "SSL takes no KAFKA_SASL_MECHANISM"),
        ({"KAFKA_SSL_CA_FILE": __file__}, "PLAINTEXT takes no KAFKA_SSL_CA_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": "/nowhere.pem"}, "KAFKA_SSL_CA_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": __file__}, "KAFKA_SSL_.* cannot be used"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_FILE": __file__}, "needs KAFKA_SSL_CERT_FILE"),
    ],
)
def test_what_does_not_fit_together_is_named(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for kind in (IngestSettings, CommandSettings):
        with pytest.raises(SettingsError, match=message) as error:
            load(kind)
        assert "s3cret" not in str(error.value)


def test_an_encrypted_key_without_its_password_is_an_error_and_no_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = Authority(tmp_path).issue("client", password="of-the-key")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("KAFKA_SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("KAFKA_SSL_KEY_FILE", str(key))
    with pytest.raises(SettingsError, match=r"KAFKA_SSL_.* cannot be used"):
        load(IngestSettings)
    monkeypatch.setenv("KAFKA_SSL_KEY_PASSWORD", "of-the-key")
    assert load(IngestSettings).kafka_servers("a:1").key_password == "of-the-key"


def test_no_message_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_DB_PASSWORD", "s3cret")
    with pytest.raises(SettingsError, match="INGEST_DB_PASSWORD") as error:
        load(MigrateSettings)
    assert "s3cret" not in str(error.value)
