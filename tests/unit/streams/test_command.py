"""`recsvc consume` where something is missing or wrong: one line, without a secret."""

from pathlib import Path

import pytest

from tests.conftest import recsvc
from tests.ports import free_ports

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECSVC_NEO4J_URI", "bolt://127.0.0.1:1")
    monkeypatch.setenv("RECSVC_KAFKA__PASSWORD", SECRET)
    monkeypatch.setenv("RECSVC_KAFKA__KEY_PASSWORD", SECRET)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "said"),
    [
        (["--topic", "t"], "", 1, "no broker of Kafka is named: set brokers in [kafka]"),
        (["--brokers", "h:9"], "", 1, "no topic is named: set topics in [kafka], or --topic"),
        (["--brokers", f"shop:{SECRET}@h:9", "--topic", "t"], "", 2, "expected a broker such as"),
        (["--brokers", "h:9", "--topic", "a b"], "", 2, "expected a topic"),
        (
            [],
            'topics = ["t"]\nbrokers = ["h:9"]\nsecurity_protocol = "SASL_SSL"',
            1,
            "username is not set",
        ),
        (
            [],
            'topics = "t"\nbrokers = "h:9"\nsecurity_protocol = "SSL"\nca_file = "none.pem"',
            1,
            "ca_file, certificate_file or key_file in [kafka] cannot be read (No such file",
        ),
        ([], "topics = 7", 1, "setting 'kafka.topics'"),
        ([], "topic = 't'", 1, "did you mean 'topics'?"),
    ],
)
def test_what_is_missing_is_named(
    folder: Path, arguments: list[str], settings: str, code: int, said: str
) -> None:
    (folder / "recsvc.toml").write_text(f"[kafka]\n{settings}\n")
    done = recsvc("consume", *arguments)
    assert done.returncode == code
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert SECRET not in done.stdout + done.stderr


def test_a_kafka_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("RECSVC_KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("RECSVC_KAFKA__USERNAME", "shop")
    done = recsvc("consume", "--brokers", f"127.0.0.1:{port}", "--topic", "t")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"recsvc: Kafka at 127.0.0.1:{port} does not answer"
    )
    assert SECRET not in done.stderr


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = recsvc("consume", "--brokers", "h:9", "--topic", "t", "--metrics-port", port)
    assert done.returncode == 1
    assert f"cannot listen on port {port}" in done.stderr
