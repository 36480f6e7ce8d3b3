"""TLS of the hub's own listener: what is spoken, which certificate is shown, and what is read anew while it runs."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients import Enhanced, Legacy, wait_for
from hub import PROGRAM, ROOT, Hub, own_environment
from raw import RawSocket

StartHub = Callable[..., Hub]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "Scripts" / "dev-certificate", folder], check=True, capture_output=True)
    return folder


def secured(certificates: Path, **settings: object) -> dict[str, object]:
    return {"tls.certificateFile": certificates / "server.pem", "tls.keyFile": certificates / "server-key.pem", **settings}


def test_both_channels_speak_tls_1_3(start_hub: StartHub, certificates: Path) -> None:
    hub = start_hub(secured(certificates))
    trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    with Legacy(hub, ssl=trust) as legacy, Enhanced(hub, ssl=trust) as enhanced:
        assert legacy.socket.socket.version() == "TLSv1.3"
        legacy.send({"type": "subscribe", "symbol": "*"})
        assert len({legacy.until_type("marketData")["symbol"] for _ in range(60)}) > 3
        topics = enhanced.subscribe("book", "*", depth=10)
        assert len({push.topic for push in enhanced.until(lambda pushes: len(pushes) >= 100)}) == len(topics)
    page = get_securely(hub, trust, "/nowhere")
    assert page.startswith("HTTP/1.1 404")


def get_securely(hub: Hub, trust: ssl.SSLContext, path: str) -> str:
    host, port = hub.listeners["web"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        with trust.wrap_socket(plain, server_hostname=host) as secure:
            secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while part := secure.recv(65536):
                data += part
    return data.decode()


def test_strangers_to_tls_end_and_others_go_on(start_hub: StartHub, certificates: Path) -> None:
    hub = start_hub(secured(certificates))
    # Whoever does not trust the authority does not trust the hub.
    with pytest.raises(ssl.SSLCertVerificationError):
        Legacy(hub, ssl=ssl.create_default_context())
    # Plain HTTP on the TLS port ends, and others go on.
    with RawSocket(hub) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.is_hung_up()
    with Legacy(hub, ssl=ssl.create_default_context(cafile=str(certificates / "ca.pem"))) as client:
        client.pong(1)


def shown_certificate(hub: Hub) -> bytes:
    host, port = hub.listeners["web"].rsplit(":", 1)
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=10) as plain, trust.wrap_socket(plain) as secure:
        certificate = secure.getpeercert(binary_form=True)
    assert certificate
    return certificate


def renew(folder: Path, other: Path) -> None:
    """Puts a pair of another authority in a pair's place."""
    subprocess.run([ROOT / "Scripts" / "dev-certificate", other], check=True, capture_output=True)
    for name in ("server.pem", "server-key.pem"):
        (folder / name).write_bytes((other / name).read_bytes())


def test_sighup_reads_the_certificate_anew_and_nobody_is_cut_off(start_hub: StartHub, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    subprocess.run([ROOT / "Scripts" / "dev-certificate", folder], check=True, capture_output=True)
    hub = start_hub(secured(folder))
    before = shown_certificate(hub)
    with Legacy(hub, ssl=ssl.create_default_context(cafile=str(folder / "ca.pem"))) as client:
        renew(folder, tmp_path / "second")
        hub.send(signal.SIGHUP)
        wait_for(lambda: hub_events(hub, "certificate-read"), "it is read")
        wait_for(lambda: shown_certificate(hub) != before, "the new one is shown")
        client.pong(1)
        after = shown_certificate(hub)
        # A key that does not fit changes nothing.
        (folder / "server-key.pem").write_bytes((tmp_path / "second" / "ca-key.pem").read_bytes())
        hub.send(signal.SIGHUP)
        (said,) = wait_for(lambda: hub_events(hub, "certificate-refused"), "it is refused")
        assert said["certificate"].endswith("server.pem") and said["problem"]
        assert shown_certificate(hub) == after
        client.pong(2)


def hub_events(hub: Hub, name: str) -> list[dict[str, Any]]:
    return [event for event in hub.log_events if event["event"] == name]


def test_the_authoritys_word_is_shown_to_who_asks(start_hub: StartHub, certificates: Path, tmp_path: Path) -> None:
    response, index = tmp_path / "response.der", tmp_path / "index.txt"
    serial = subprocess.run(
        ["openssl", "x509", "-in", certificates / "server.pem", "-noout", "-serial"], check=True, capture_output=True, text=True
    ).stdout.strip().removeprefix("serial=")  # fmt: skip
    index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=localhost\n")
    command = ["openssl", "ocsp", "-index", index, "-CA", certificates / "ca.pem", "-rsigner", certificates / "ca.pem"]
    command += ["-rkey", certificates / "ca-key.pem", "-issuer", certificates / "ca.pem", "-cert", certificates / "server.pem"]
    subprocess.run([*command, "-respout", response, "-ndays", "1"], check=True, capture_output=True)
    hub = start_hub(secured(certificates, **{"tls.ocspFile": response}))
    address = hub.listeners["web"]
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", address, "-status"], check=True, capture_output=True, stdin=subprocess.DEVNULL, text=True
    ).stdout
    assert "OCSP Response Status: successful" in shown and "Cert Status: good" in shown, shown
    with Legacy(hub, ssl=ssl.create_default_context(cafile=str(certificates / "ca.pem"))) as client:
        client.pong(1)
    # What is no response is refused, and the old one stays.
    response.write_bytes(b"nothing of the kind")
    hub.send(signal.SIGHUP)
    (said,) = wait_for(lambda: hub_events(hub, "certificate-refused"), "it is refused")
    assert "OCSP" in said["problem"]


def test_a_certificate_that_does_not_fit_its_key_is_one_clear_line(certificates: Path, tmp_path: Path) -> None:
    subprocess.run([ROOT / "Scripts" / "dev-certificate", tmp_path], check=True, capture_output=True)
    settings = {"listen.port": 0, "admin.port": 0, "tls.certificateFile": certificates / "server.pem"}
    settings["tls.keyFile"] = tmp_path / "server-key.pem"
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [PROGRAM, "serve", *options], env=own_environment(), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1 and "server-key.pem" in lines[0], done.stderr
