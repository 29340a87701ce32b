"""What kind of file an attachment is, and whether that kind may be sent."""

import os
import re
from collections.abc import Sequence
from functools import cache

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachment_files import shown

NOT_ALLOWED = "attachment content type is not allowed"
UNKNOWN = "application/octet-stream"  # RFC 2046 section 4.5.1

_MAX_CHARACTERS = 255
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838 section 4.2
# Values without "=" and "?": the email package decodes an encoded word even inside quotes, with its line breaks.
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*([A-Za-z0-9-]+)=([A-Za-z0-9!#$%&'*+.^_`{|}~-]+|"[ !#-<>@-\[\]-~]*")""")
_TYPE = re.compile(rf"({_NAME})/({_NAME})")
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


def allowed_content_type(declared: str | None, filename: str, allowed: Sequence[str]) -> str:
    """The content type for *filename*: the declared one, else what its name says, else application/octet-stream.

    Comes back in lower case with its parameters, but for ``name``: a part has one file name, and that is *filename*.
    allowed: types and patterns like ``image/*``.  Raises ValidationError when it is malformed or not among them.
    """
    guessed = UNKNOWN if declared is not None else guess(filename)
    content_type, parameters = (guessed, "") if declared is None else _parse(declared)
    if content_type.split("/")[0] in _NO_BASE64:
        raise ValidationError(
            NOT_ALLOWED, hint=f"{content_type} cannot be attached as it is: pack it, as zip for example"
        )
    if not any(_matches(content_type, pattern) for pattern in allowed):
        told = f"{shown(filename)} is {content_type}"
        if declared is None and content_type == UNKNOWN:
            told = f"{shown(filename)} is {content_type} for want of a known ending: declare its type"
        raise ValidationError(
            NOT_ALLOWED,
            hint=f'{told}; to allow it, add "{content_type}" to allowed_content_types in [attachments.policy]',
        )
    return content_type + parameters


def guess(filename: str) -> str:
    """The type that the ending of *filename* says, by Python's own table: the same on every machine."""
    ending = os.path.splitext(filename)[1].lower()
    return _COMPRESSED.get(ending) or _endings().get(ending, UNKNOWN)


@cache
def _endings() -> dict[str, str]:
    from mimetypes import MimeTypes

    # The table alone: MimeTypes.guess_type takes names for URLs, in which "data:,x.exe" is a text.
    return MimeTypes().types_map[1]


def _parse(declared: str) -> tuple[str, str]:
    """Type and parameters of a content type, normalised."""
    text = declared.strip(" \t")
    found = _TYPE.match(text)
    if found is None or len(text) > _MAX_CHARACTERS:
        raise _malformed(declared)
    parameters: dict[str, str] = {}
    position = found.end()
    while position < len(text):
        parameter = _PARAMETER.match(text, position)
        if parameter is None or parameter[1].lower() in parameters:
            raise _malformed(declared)
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


def _malformed(declared: str) -> ValidationError:
    return ValidationError(
        f"attachment content type is malformed: {shown(declared)}",
        hint="write type/subtype, for example application/pdf",
    )
