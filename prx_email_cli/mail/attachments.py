"""Check attachments by policy, name and type, and take them from a file, the store or base64."""

import os
import re
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachment_files import check_stored_path, open_file, open_stored, shown, too_large
from prx_email_cli.mail.headers import check_header_text
from prx_email_cli.mail.mime import Attachment

NO_STORE = "attachment store not configured"
NAMELESS = "attachment"
MAX_NAME_CHARACTERS = 255

_TYPE_OPTION = ";type="
_SURROGATE = re.compile("[\ud800-\udfff]")  # also what Python makes of a file name that is not UTF-8
# Overrides and isolates of the bidirectional algorithm: with them "gpj.exe" is shown as "exe.jpg".
_OVERRIDES = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Python's email package, for one, decodes an encoded word also where RFC 2047 section 5 forbids it.
_ENCODED_WORD = re.compile(r"=\?.*\?=")
_BASE64_SLICE = 128 * 1024
NOT_ALLOWED = "attachment content type is not allowed"
UNKNOWN_TYPE = "application/octet-stream"  # RFC 2046 section 4.5.1

_MAX_TYPE_CHARACTERS = 255
_TYPE_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838 section 4.2
# Values without "=" and "?": the email package decodes an encoded word even inside quotes, with its line breaks.
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*([A-Za-z0-9-]+)=([A-Za-z0-9!#$%&'*+.^_`{|}~-]+|"[ !#-<>@-\[\]-~]*")""")
_TYPE = re.compile(rf"({_TYPE_NAME})/({_TYPE_NAME})")
_NO_BASE64 = ("message", "multipart")  # RFC 2046 section 5.2.1, RFC 2045 section 6.4
# A compressed file is not of the type that its inner name says.
_COMPRESSED = {
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".tbz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".txz": "application/x-xz",
    ".zst": "application/zstd",
    ".z": "application/x-compress",
}


class Policy(NamedTuple):
    """The policy of attachments.
    max_size_bytes: of one attachment, decoded.  allowed_content_types: types and patterns like ``image/*``, in any
    case.  max_message_bytes: of the whole message, encoded.  store_root: where path-based attachments lie, None for
    nowhere.
    """

    max_size_bytes: int
    allowed_content_types: tuple[str, ...]
    max_message_bytes: int
    store_root: Path | None


def split_attach_option(text: str) -> tuple[str, str | None]:
    """Split ``FILE[;type=MIME]`` into path and content type, None without one.

    The last ``;type=`` starts the type, even if a file has such a name: a command must not mean something else in
    another directory.  A file whose name contains ``;type=`` is attached by adding one more with its type.
    """
    path, separator, content_type = text.rpartition(_TYPE_OPTION)
    return (path, content_type) if separator else (text, None)


def attachment_from_file(path: str, content_type: str | None, policy: Policy) -> Attachment:
    """Attach a file of the user's under its own name; it is opened now and read later.

    Raises ValidationError for its name first, then its type, then what is no readable regular file, then its size;
    reading its chunks may raise it too.
    """
    filename = checked_filename(_readable(_last(path)))
    checked_type = allowed_content_type(content_type, filename, policy.allowed_content_types)
    return Attachment(filename, checked_type, open_file(path, policy.max_size_bytes))


def attachment_from_store(path: str, filename: str | None, content_type: str | None, policy: Policy) -> Attachment:
    """Attach a file of the store.  path: relative to the store root; see open_stored.  Raises ValidationError."""
    name = _last(path) if filename is None else checked_filename(filename)
    checked_type = allowed_content_type(content_type, name, policy.allowed_content_types)
    if policy.store_root is None:
        raise ValidationError(NO_STORE, hint="set enabled = true and dir in [attachments.store]")
    check_stored_path(path)  # first: a fault of the path may show in the name taken from it
    return Attachment(checked_filename(name), checked_type, open_stored(policy.store_root, path, policy.max_size_bytes))


def attachment_from_base64(filename: str | None, content_type: str | None, text: str, policy: Policy) -> Attachment:
    """Attach the bytes in base64 *text*, which may hold white space.  Raises ValidationError for anything else."""
    name = checked_filename(filename or "")
    checked_type = allowed_content_type(content_type, name, policy.allowed_content_types)
    try:
        size = sum(map(len, _decoded(text)))  # decoded twice, here and when it is read, but never whole in memory
    except ValueError as error:
        raise ValidationError(
            f"attachment base64 is broken: {error}",
            hint=f"{shown(name)}: use the alphabet with + and /, and pad with =, as base64(1) does",
        ) from None
    if size > policy.max_size_bytes:
        raise too_large(name, policy.max_size_bytes)
    return Attachment(name, checked_type, _decoded(text))


def checked_filename(name: str) -> str:
    """Check a file name, in any script; strip it, and call an empty one ``attachment``.

    Raises ValidationError for what a recipient would see as another name or a path: path components, control
    characters, direction overrides, encoded words, more than 255 characters.
    """
    if not name.isascii() and _SURROGATE.search(name):
        raise _bad_name(name, "is not valid Unicode", "rename it")
    name = check_header_text(name, "attachment file name").strip()
    if "/" in name or "\\" in name or name in (".", ".."):
        raise _bad_name(name, "is a path", "give the file name alone")
    found = _OVERRIDES.search(name)
    if found:
        raise _bad_name(
            name, f"changes the direction of writing (U+{ord(found[0]):04X})", "remove the invisible characters"
        )
    if _ENCODED_WORD.search(name):
        raise _bad_name(name, "is an encoded word", "write the name itself: it is encoded for you")
    if len(name) > MAX_NAME_CHARACTERS:
        raise _bad_name(name, f"is longer than {MAX_NAME_CHARACTERS} characters", "shorten it")
    return name or NAMELESS


def _bad_name(name: str, what: str, hint: str) -> ValidationError:
    return ValidationError(f"attachment file name {what}: {shown(name)}", hint=hint)


def _readable(name: str) -> str:
    """Make the name of an existing file readable; bytes that are not UTF-8 are replaced."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _last(path: str) -> str:
    """Return the last component of *path*; a backslash separates too, as it may for the recipient."""
    name = re.split(r"[/\\]", path.rstrip("/"))[-1]
    return "" if name in (".", "..") else name


def _decoded(text: str) -> Iterator[bytes]:
    """Decode base64 *text* in pieces.  Raises ValueError for what is not strictly base64."""
    if not text.isascii():
        raise ValueError("Only base64 data is allowed")
    rest = b""
    ended = False
    for start in range(0, len(text), _BASE64_SLICE):
        rest += text[start : start + _BASE64_SLICE].encode().translate(None, b" \t\r\n")
        if ended and rest:
            raise ValueError("Excess data after padding")
        whole = len(rest) - len(rest) % 4
        yield a2b_base64(rest[:whole], strict_mode=True)
        ended = rest.endswith(b"=", 0, whole)
        rest = rest[whole:]
    yield a2b_base64(rest, strict_mode=True)


def allowed_content_type(declared: str | None, filename: str, allowed: Sequence[str]) -> str:
    """Choose the content type of *filename*: the declared one, else by its name, else application/octet-stream.

    Returns it in lower case with its parameters except ``name``, which could contradict *filename*.  allowed: types and
    patterns like ``image/*``.  Raises ValidationError when it is malformed or not among them.
    """
    guessed = UNKNOWN_TYPE if declared is not None else guess(filename)
    content_type, parameters = (guessed, "") if declared is None else _parse_type(declared)
    if content_type.split("/")[0] in _NO_BASE64:
        raise ValidationError(
            NOT_ALLOWED, hint=f"{content_type} cannot be attached as it is: pack it, as zip for example"
        )
    if not any(_matches(content_type, pattern) for pattern in allowed):
        told = f"{shown(filename)} is {content_type}"
        if declared is None and content_type == UNKNOWN_TYPE:
            told = f"{shown(filename)} is {content_type} (unknown extension; add ;type=MIME)"
        raise ValidationError(
            NOT_ALLOWED,
            hint=f'{told}; to allow it, add "{content_type}" to allowed_content_types in [attachments.policy]',
        )
    return content_type + parameters


def guess(filename: str) -> str:
    """Look the extension of *filename* up in Python's own table, which is the same on every machine."""
    ending = os.path.splitext(filename)[1].lower()
    return _COMPRESSED.get(ending) or _endings().get(ending, UNKNOWN_TYPE)


@cache
def _endings() -> dict[str, str]:
    from mimetypes import MimeTypes  # on use

    # The table alone: MimeTypes.guess_type takes names for URLs, in which "data:,x.exe" is a text.
    return MimeTypes().types_map[1]


def _parse_type(declared: str) -> tuple[str, str]:
    """Split a content type into type and parameters, normalised.  Raises ValidationError when it is malformed."""
    text = declared.strip(" \t")
    found = _TYPE.match(text)
    if found is None or len(text) > _MAX_TYPE_CHARACTERS:
        raise _malformed_type(declared)
    parameters: dict[str, str] = {}
    position = found.end()
    while position < len(text):
        parameter = _PARAMETER.match(text, position)
        if parameter is None or parameter[1].lower() in parameters:
            raise _malformed_type(declared)
        parameters[parameter[1].lower()] = parameter[2]
        position = parameter.end()
    parameters.pop("name", None)
    return found[0].lower(), "".join(f"; {name}={value}" for name, value in parameters.items())


def _matches(content_type: str, pattern: str) -> bool:
    pattern = pattern.split(";", 1)[0].strip().lower()
    if pattern == "*/*":
        return True
    if pattern.endswith("/*"):
        return content_type.startswith(pattern[:-1])
    return content_type == pattern


def _malformed_type(declared: str) -> ValidationError:
    return ValidationError(
        f"attachment content type is malformed: {shown(declared)}",
        hint="write type/subtype, for example application/pdf",
    )
