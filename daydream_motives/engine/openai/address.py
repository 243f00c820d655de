"""Where a server is: its URL and the model's name, read strictly, with no secret in either.

Knows nothing of HTTP. The key comes from the environment and from nowhere else.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from daydream_motives.errors import SettingsError

_REMEDY = "give http://HOST:PORT/v1 or https://HOST/v1, with #MODEL after it where there are more"


@dataclass(frozen=True, slots=True)
class Address:
    """`base` is what the API's paths are appended to; `host` (with its port) is for people."""

    base: str
    host: str
    model: str
    secure: bool
    loopback: bool

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return self.secure or self.loopback


def is_address(name: str) -> bool:
    """Whether a model's name is a URL, well-formed or not."""
    return "://" in name


def read_address(text: str) -> Address:
    """The address in `http(s)://host[:port][/v1][#model]`; without a path, /v1 is meant.

    Raises SettingsError, which repeats nothing of the URL that could be a secret.
    """
    try:
        parts = urlsplit(text.strip())
        host, port, scheme = parts.hostname or "", parts.port, parts.scheme.lower()
    except ValueError as exc:  # a wrong port or bracket; its message may hold the password
        raise SettingsError("the server's URL is malformed", remedy=_REMEDY) from exc
    if "@" in parts.netloc or parts.query:
        raise SettingsError(
            "the server's URL carries a user, a password or parameters, which could be secrets",
            remedy="give the plain URL, and the key in the environment variable DAYDREAM_API_KEY",
        )
    if scheme not in ("http", "https"):
        raise SettingsError(f"{scheme or 'no scheme'}: a server is asked by HTTP", remedy=_REMEDY)
    if not re.fullmatch(r"[^\W_](?:[\w.\-]*[\w.])?|[0-9A-Fa-f:.]+", host):
        raise SettingsError("the server's URL names no host", remedy=_REMEDY)
    if re.search(r"[\s\x00-\x1f\x7f]", text.strip()):
        raise SettingsError("the server's URL has blanks in it", remedy=_REMEDY)
    where = f"[{host}]" if ":" in host else host
    where += f":{port}" if port else ""
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    base = urlunsplit((scheme, where, path, "", ""))
    model = unquote(parts.fragment).strip()
    return Address(base, where, model, scheme == "https", _is_loopback(host))


def _is_loopback(host: str) -> bool:
    """Only what cannot leave the machine: a name that resolves to it today is not enough."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
