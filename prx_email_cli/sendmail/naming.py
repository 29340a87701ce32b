"""Name the sender and the command of a call.  Cheap to import."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prx_email_cli.sendmail.flags import Call


def full_name(call: "Call") -> str | None:
    """Return the name of -F fit for a header: cron may have been given any bytes."""
    if call.full_name is None:
        return None
    text = call.full_name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def command(call: "Call") -> str:
    """Name the command for the records."""
    return f"sendmail{' -t' if call.from_headers else ''}"
