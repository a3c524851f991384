"""Data sets are fetched only as what they are known to be."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from fiberscope.data.datasets import SPLIT, load_data
from fiberscope.data.downloads import FILES, RemoteFile, download
from fiberscope.errors import InputError


def served(path: Path, data: bytes, members: tuple[str, ...] = ()) -> RemoteFile:
    path.write_bytes(data)
    return RemoteFile(path.as_uri(), hashlib.sha256(data).hexdigest(), path.name, members)


def test_what_was_fetched_is_found_by_its_name(tmp_path: Path):
    images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4) for size in images.shape)
    file = served(tmp_path / "t10k-images-idx3-ubyte.gz", gzip.compress(header + images.tobytes()))
    told: list[str] = []
    download("mnist", tmp_path / "data", lambda task, done, total: told.append(task), files=(file,))
    np.testing.assert_array_equal(load_data("mnist", tmp_path / "data").x, images.astype(np.float32) / np.float32(255))
    assert told
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    download("mnist", tmp_path / "data", files=(file,))  # it is there already: nothing is fetched


def test_archive_gives_only_the_named_files(tmp_path: Path):
    record = bytes([7]) + bytes(3072)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("cifar-10-batches-bin/test_batch.bin", "../outside.bin", "cifar-10-batches-bin/other.bin"):
            entry = tarfile.TarInfo(name)
            entry.size = len(record)
            archive.addfile(entry, io.BytesIO(record))
    file = served(tmp_path / "c.tar.gz", buffer.getvalue(), ("cifar-10-batches-bin/test_batch.bin",))
    download("cifar10", tmp_path / "data", files=(file,))
    assert load_data("cifar10", tmp_path / "data").y.tolist() == [7]
    names = sorted(path.name for path in tmp_path.rglob("*.bin"))
    assert names == ["test_batch.bin"]


def test_other_contents_are_refused_and_not_kept(tmp_path: Path):
    file = served(tmp_path / "f.gz", b"right")
    (tmp_path / "f.gz").write_bytes(b"wrong")
    with pytest.raises(InputError, match=file.sha256):
        download("mnist", tmp_path / "data", files=(file,))
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_no_network_is_one_error_that_says_what_to_do(tmp_path: Path):
    file = RemoteFile("http://127.0.0.1:9/f.gz", "0" * 64, "f.gz")
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9.*expected a network.*FIBERSCOPE_DATA"):
        download("mnist", tmp_path, files=(file,))
    with pytest.raises(InputError, match="mnist, fashion-mnist, cifar10"):
        download("imagenet", tmp_path)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"no HTTP at all\r\n\r\n", "BadStatusLine: no HTTP at all"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "IncompleteRead"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "Not Found"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "a file with the SHA-256"),
    ],
)
def test_a_broken_answer_is_one_error_and_nothing_is_kept(tmp_path: Path, answer: bytes, words: str):
    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/f.gz"
        with pytest.raises(InputError, match=words) as caught:
            download("mnist", tmp_path, files=(RemoteFile(url, "0" * 64, "f.gz"),))
        thread.join()
    assert url in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_known_files_have_hashes():
    assert set(FILES) == set(SPLIT)
    for files in FILES.values():
        for file in files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.url.startswith(("https://", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"))
