"""A downloader for pooch that goes on where the last one stopped."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .. import __version__
from ..files import LsegreproError, one_line

CHUNK = 1 << 20
"""Bytes read at most at once."""

LONGEST_WAIT = 30.0
"""Seconds between two attempts at most."""

_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may be another a moment later."""


class Refused(Exception):
    """This address does not give the file; another may."""


class _Interrupted(Exception):
    """Worth another attempt at the same address."""


@dataclass
class Resuming:
    """Downloads to a file beside the target, and continues that file after a cut, a stall or a kill.

    An instance is what ``pooch.retrieve(..., downloader=)`` takes. pooch checks the checksum of what it
    gets and gives it its name; it cannot continue a download. The partial file outlives the process and
    may be continued from another address: the checksum of the whole decides.

    Attributes
    ----------
    part : Path
        The partial file.
    size : int
        Bytes of the whole file. An address that announces another size is refused before its bytes are read.
    timeout : float
        Seconds without a byte after which a connection counts as lost.
    attempts : int
        How often in a row an address may fail without giving at least `CHUNK` new bytes.
    wait : float
        Seconds before the second attempt; doubled before each further one, up to `LONGEST_WAIT`.
    progress : bool
    continued : bool
        Whether the last download began with bytes of an earlier one.
    """

    part: Path
    size: int
    timeout: float = 30.0
    attempts: int = 5
    wait: float = 1.0
    progress: bool = True
    continued: bool = False

    def __call__(self, url: str, output_file: str, pooch: object = None) -> None:
        """Put the whole of `url` at `output_file`; the partial file stays, as another name of the same bytes.

        Raises
        ------
        Refused
            With the reason, if the address does not give a file of this size.
        LsegreproError
            If the partial file cannot be written.
        """
        self.continued = 0 < self.have <= self.size
        failures = 0
        while self.have != self.size:
            before = self.have
            try:
                self._stream(url)
            except _Interrupted as reason:
                failures = 1 if self.have - before >= CHUNK else failures + 1
                if failures >= self.attempts:
                    raise Refused(str(reason)) from reason
                time.sleep(min(self.wait * 2 ** (failures - 1), LONGEST_WAIT))
        os.remove(output_file)
        try:
            os.link(self.part, output_file)  # so that a kill while the checksum is computed loses nothing
        except OSError:  # a file system without links
            os.replace(self.part, output_file)

    @property
    def have(self) -> int:
        """Bytes of the partial file."""
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def _stream(self, url: str) -> None:
        """One connection: from the end of the partial file to the end of the file."""
        if self.have > self.size:
            self.part.unlink()
        have = self.have
        # The bytes as they are: a .tar.gz must not be decompressed on the way.
        headers = {"User-Agent": f"lsegrepro/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                if not isinstance(response, http.client.HTTPResponse):
                    raise Refused(f"it leads to {response.url}, which is no web address")
                begin = self._begin(response, have)
                self._announced(begin, response.length)
                self._write(response, begin)
        except urllib.error.HTTPError as error:
            self._failed(error, have)
        except LsegreproError:
            raise
        except ValueError as error:
            raise Refused(f"this is no address ({one_line(error)})") from error
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)  # of urllib's URLError
            if isinstance(cause, socket.gaierror):
                raise Refused("its host is not found; is there a network?") from error
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise Refused(f"its certificate is not accepted ({cause.verify_message})") from error
            reason = f"no byte in {self.timeout:g} s" if isinstance(cause, TimeoutError) else one_line(cause)
            raise _Interrupted(f"{reason}, at byte {self.have:,} of {self.size:,}") from error

    def _begin(self, response: http.client.HTTPResponse, have: int) -> int:
        """Where the bytes of this answer begin: 0 if the server gives the whole although asked for the rest."""
        if response.status != 206:
            return 0
        said = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said.strip())
        if not found or int(found[1]) != have:
            raise Refused(f"asked for the bytes from {have:,} on, it gives {said[:60]!r}")
        if found[2] != "*":
            self._announced(0, int(found[2]))
        return have

    def _announced(self, begin: int, length: int | None) -> None:
        if length is not None and begin + length != self.size:
            raise Refused(f"it announces {begin + length:,} bytes, and the file has {self.size:,}")

    def _failed(self, error: urllib.error.HTTPError, have: int) -> None:
        said = f"{error.code} {error.reason}".splitlines()[0]
        if error.code == 416 and have:  # it holds fewer bytes than we do
            self.part.unlink()
            raise _Interrupted(said) from error
        raise (_Interrupted if error.code in _PASSING else Refused)(said) from error

    def _write(self, response: http.client.HTTPResponse, begin: int) -> None:
        try:
            file = open(self.part, "ab" if begin else "wb")
        except OSError as error:
            raise _unwritable(self.part, error) from error
        bar = tqdm(total=self.size, initial=begin, desc=self.part.stem, unit="B", unit_scale=True,
                   disable=not self.progress, leave=False)
        with bar, file:
            left = self.size - begin
            while left:
                data = response.read1(min(CHUNK, left))  # what is there, at once: nothing is lost by a cut
                if not data:
                    raise _Interrupted(f"the connection was cut at byte {self.size - left:,} of {self.size:,}")
                try:
                    file.write(data)
                    file.flush()
                except OSError as error:
                    raise _unwritable(self.part, error) from error
                left -= len(data)
                bar.update(len(data))


def _unwritable(path: Path, error: OSError) -> LsegreproError:
    return LsegreproError(f"cannot write {path}: {error.strerror or error}; what is there is kept for the next time")
