"""Say once of each key of the answers what it means and holds: one key has one meaning in all commands."""

from collections.abc import Iterable
from typing import Any

from prx_email_cli.checks.check import Verdict as CheckVerdict
from prx_email_cli.outbox.lifecycle import Ending, Priority, Reason, RecipientKind, Status

Schema = dict[str, Any]

ERROR_CODES = (
    "validation", "config", "not_found", "retry_not_allowed_for_status", "retry_not_due", "network", "auth",
    "provider", "storage", "unwell", "moved", "locked", "job", "internal",
)  # fmt: skip


def text(meaning: str, *, null: bool = False) -> Schema:
    """Describe a text."""
    return {"description": meaning, "type": ["string", "null"] if null else "string"}


def number(meaning: str, *, null: bool = False, least: int | None = 0) -> Schema:
    """Describe a whole number of at least *least*."""
    bound = {} if least is None else {"minimum": least}
    return {"description": meaning, "type": ["integer", "null"] if null else "integer", **bound}


def time(meaning: str, *, null: bool = True) -> Schema:
    """Describe a time."""
    return number(f"{meaning}, in Unix seconds", null=null, least=None)


def flag(meaning: str) -> Schema:
    """Describe a yes or no."""
    return {"description": meaning, "type": "boolean"}


def word(meaning: str, words: Iterable[str], *, null: bool = False) -> Schema:
    """Describe one of *words*."""
    return {"description": meaning, "enum": [*(str(one) for one in words), *([None] if null else [])]}


def many(meaning: str, items: Schema) -> Schema:
    """Describe a list of *items*."""
    return {"description": meaning, "type": "array", "items": items}


def ref(name: str, *, null: bool = False) -> Schema:
    """Refer to an object by its name in ``shapes.SHAPES``."""
    to = {"$ref": f"#/$defs/{name}"}
    return {"anyOf": [to, {"type": "null"}]} if null else to


def some(name: str, meaning: str, *, null: bool = False) -> Schema:
    """Describe an object by its name in ``shapes.SHAPES``."""
    return {"description": meaning, **ref(name, null=null)}


_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
OF_MESSAGES: dict[str, Schema] = {
    "outbox_id": number("id of the outbox message, never used again", least=1),
    "account": text("name of the account; null for all accounts", null=True),
    "status": word("status of the message", Status),
    "retries": number("how many attempts have failed, given-back ones not counted"),
    "next_attempt_at": time("when a drain attempts it next; null when it is over"),
    "message_id": text("Message-ID with angle brackets, of the latest attempt; null before the first", null=True),
    "provider_message_id": text("what the provider said when it accepted the message; null until then", null=True),
    "last_error": text("what the latest attempt failed with; null if none did", null=True),
    "subject": text("subject of the message, decoded"),
    "to": many("addresses in To", _TEXT),
    "cc": many("addresses in Cc", _TEXT),
    "reply_to": many("addresses in Reply-To", _TEXT),
    "from": text("sender in the From header, or the account's; null when there is none", null=True),
    "sender": text("address of the envelope's sender"),
    "size_bytes": number("size of the composed message in bytes; null when none is documented", null=True),
    "created_at": time("when it was stored", null=False),
    "sent_at": time("when the last recipient was accepted; null until then"),
    "held": flag("whether it waits until a person releases it"),
    "gave_up": {
        "description": "why it was given up; null if it was not",
        "enum": [*(str(one) for one in Reason), None],
    },
    "uncertain": flag("whether the provider may have accepted it without an answer that arrived"),
    "error_code": word("the kind of what failed last; null if nothing did", ERROR_CODES, null=True),
    "priority": word("class of the message: higher ones leave first", Priority),
    "run_died": flag("whether it is sending by a run that died, and the next drain settles it"),
    "repeated": flag("whether it may have arrived twice"),
    "recipients": many("everybody who gets it", ref("recipient")),
    "attempts": many("the attempts, the oldest first", ref("attempt")),
    "actions": many("what people did with it, the oldest first", ref("action")),
    "address": text("email address of the recipient"),
    "kind": word("in which header the recipient is named; bcc in none", RecipientKind),
    "response": text("what the server answered; null without an answer", null=True),
    "enhanced": text("the enhanced status code of the answer (RFC 3463); null without one", null=True),
    "outcome": word("how the attempt ended; null while it runs", Ending, null=True),
    "dialogue": text("the lines of the SMTP dialogue; null when not kept", null=True),
    "started_at": time("when it began", null=False),
    "finished_at": time("when it ended; null while it runs"),
    "run_id": text("name of the run that attempted it"),
    "duplicate": flag("whether an earlier message has its idempotency key, and this one was not stored"),
    "base64": text("the bytes of the message, in base64"),
    "file": text("path of the file that was written or read; null where there is none", null=True),
    "date": time("what its Date header says; null without one"),
    "in_reply_to": many("Message-IDs of its In-Reply-To header", _TEXT),
    "references": many("Message-IDs of its References header", _TEXT),
    "learned_at": time("when it was imported", null=False),
    "text": text("the text of the message"),
    "attachments": {
        **many("the attached files; null where they cannot be told", ref("attachment")),
        "type": ["array", "null"],
    },
    "filename": text("name of the attached file"),
    "content_type": text("MIME type of the attached file"),
    "answer": text("what became of it, in a sentence"),
    "next": text("what happens next and when, in a sentence"),
    "headers": text("the headers, as the next attempt would send them"),
    "pruned_at": time("when its content was deleted; null if it was not"),
    "anonymised_at": time("when names and addresses in it were replaced; null if they were not"),
    "due_at": time("from when on it may be attempted", null=False),
    "first_due_at": time("when it was due first", null=False),
    "dismissed_at": time("when a person had seen its failure; null if none had"),
    "idempotency_key": text("its idempotency key; null without one", null=True),
    "enqueued_by": some("caller", "who stored it; null where that was not recorded", null=True),
    "uid": number("number of the user; -1 for a client on another machine", least=None),
    "at": time("when it was done", null=False),
    "what": text("what a person did, or in the log how an attempt ended"),
    "who": text("who did it, as user@host; null where it was no person", null=True),
    "began_at": time("when the attempt began; null for what a person did"),
    "detail": text("what was seen, or said, in words", null=True),
    "entry": word("what an entry of the log tells of", ("attempt", "action")),
    "latest": many("the latest entries of the log, the oldest first", ref("entry")),
    "runs": many("the runs that are alive, the oldest first", ref("living_run")),
    "in_hand": many("what runs have in hand, what they have had for longest first", ref("hand")),
    "claimed_at": time("since when the run has it in hand", null=False),
}
OF_BATCHES: dict[str, Schema] = {
    "line": number("number of the line in the batch, from 1", least=1),
    "row": number("number of the row in the table, where the row with the names is 1", least=1),
    "lines": number("how many lines were read, blank ones not counted"),
    "rows": number("how many rows were read, blank ones not counted"),
    "enqueued": number("how many messages were stored by this command"),
    "duplicates": number("how many had been stored before, by their idempotency keys"),
    "refused": number("how many were refused"),
    "errors": many("why each refused one was refused", {}),
    "messages": many("each message that was stored, or with --preview would be", {}),
}
OF_ERRORS: dict[str, Schema] = {
    "code": word("the kind of the error, stable", ERROR_CODES),
    "message": text("what is wrong, or has happened, in a sentence"),
    "hint": text("what to do next; empty when the message says it"),
    "error": some("error", "what is wrong with this one; null if nothing is", null=True),
}
OF_ACCOUNTS: dict[str, Schema] = {
    "paused": flag("whether a person keeps drains from the account"),
    "paused_at": time("when it was paused; null if it is not"),
    "paused_until": time("when the pause ends by itself; null if it does not"),
    "paused_by": text("who paused it, as user@host", null=True),
    "reason": text("why it was paused, in that person's words", null=True),
    "resting": flag("whether drains leave it alone because its server refused it"),
    "rests_until": time("when a drain tries it next; null if it does not rest"),
    "failing_since": time("since when it does not work; null if it works"),
    "waiting": number("how many undelivered messages drains are to deliver"),
    "oldest_age_seconds": number("for how long the longest undelivered one is due; null if none is", null=True),
    "delivered_last_minute": number("how many messages were delivered in the last minute"),
    "delivered_last_hour": number("how many messages were delivered in the last hour"),
    "limits": many("the limits in its config, and how far they are used up", ref("limit")),
    "most": number("how many the limit admits", least=1),
    "of": word("what the limit counts", ("messages", "recipients")),
    "seconds": number("in how many seconds", least=1),
    "taken": number("how many of them are used up"),
    "free_at": time("when there is room again; null while there is some"),
    "accounts": many("each account", ref("account_status")),
    "all_paused": flag("whether a person keeps drains from all accounts"),
    "causes": many("why messages are not delivered, those of one cause together", ref("cause")),
    "last_drain_at": time("when the last drain ended; null if none ever did"),
    "last_drain_by": text("what started the last drain; null where that is not known", null=True),
    "runs_died": number("how many messages are sending by runs that died; the next drain settles them"),
    "wanted": many("why a person is wanted, in words; empty if nobody is", _TEXT),
    "by_account": flag("whether it concerns the account, not single messages"),
    "example": text("the words of the latest failure of the cause"),
    "many": number("how many messages"),
    "oldest_at": time("when the first of them was due first", null=False),
    "meaning": text("what the server's reply means; null where that is not known", null=True),
    "source": text("where that is said; null where that is not known", null=True),
    "fix": text("what helps; empty if nothing is to be done", null=True),
    "resumed": flag("whether there was a pause or a rest to end"),
    "event": word("what happened", ("gave_up", "account_down", "account_up")),
}
OF_CHECKS: dict[str, Schema] = {
    "checks": many("what was looked at", ref("check")),
    "steps": many("the steps of the test, up to the first that failed", ref("check")),
    "group": text("what was looked at: the machine, the outbox, or an account"),
    "result": word("the verdict", CheckVerdict),
    "state": word("the verdict, as monitoring plugins call it", ("ok", "warning", "critical", "unknown")),
    "reasons": many("why the state is not ok, the worst first", _TEXT),
    "late": flag("whether a message waits for longer than admitted"),
    "held_uncertain": number("how many messages may have been accepted, and wait for a person"),
    "failures": number("how many messages were given up, but for those that a person cancelled"),
    "addresses": many("IP addresses of the server", _TEXT),
    "peer": text("address and port of the server that answered; null if none did", null=True),
    "tls_version": text("version of TLS that was agreed on; null without TLS", null=True),
    "cipher": text("cipher that was agreed on; null without TLS", null=True),
    "certificate": some("certificate", "the server's certificate; null if none was seen", null=True),
    "issuer": text("who has signed the certificate; null where that is not known", null=True),
    "expires_at": time("when it ends; null if it does not, or that is not known"),
    "sha256": text("fingerprint of the certificate's DER form, in hexadecimal digits"),
    "extensions": many("what the server offered after EHLO", _TEXT),
    "login": text("how the login was done; null without one", null=True),
    "size_limit": number("the largest message in bytes that the server says it takes; null if it says none", null=True),
}
OF_CONFIGS: dict[str, Schema] = {
    "config": text("path of the config"),
    "outbox": text("path of the outbox"),
    "exists": flag("whether the file is there"),
    "backup": text("path of the file that keeps the old config"),
    "account_names": many("names of the accounts in the config", _TEXT),
    "default_account": text("the account that is meant when none is named; null without one", null=True),
    "keyring": text("where in the keyring it is stored"),
    "removed": flag("whether there was a secret to delete"),
    "revoked": flag("whether the server has revoked the token"),
    "argv": many("the words of the job's command; bytes that are no text are escaped", _TEXT),
    "exit_status": number(
        "the job's exit status, or that of a shell that cannot start it; null after a signal", null=True
    ),
    "signal": text("the name of the signal that ended the job; null without one", null=True),
    "timed_out": flag("whether the job was ended by its timeout"),
    "duration_seconds": {"description": "how long the job ran", "type": "number", "minimum": 0},
    "output_bytes": number("how much the job printed"),
    "output_lines": number("how many lines the job printed"),
    "shell": text("the shell that the script is for: bash, zsh or fish"),
    "script": text("what the shell must read to complete command lines of prx-email"),
    "crontab_line": text("the line of a crontab that drains the outbox every minute"),
    "system_steps": many("what was done on the machine, or would be, in order", ref("install_step")),
    "shell_line": text("the step, as a line for a shell"),
    "done_before": flag("whether it was so already, and nothing was done"),
    "kept_because": many("what is kept, each with the reason", _TEXT),
    "variables": many("names of the variables that the crontab must set", _TEXT),
    "name": text("its name"),
    "names": many("its names", _TEXT),
    "aliases": many("other names that are accepted", _TEXT),
    "title": text("its name for people"),
    "provider": text("name of the provider in the config; null without one", null=True),
    "host": text("name of the machine"),
    "port": number("the server's port", least=1),
    "tls": word("how TLS begins", ("implicit", "starttls", "none")),
    "user": text("name of the user; null without one, or where each has another", null=True),
    "auth": text("which key of the config the secret comes from; null without one", null=True),
    "oauth": {"description": "how tokens are got; null without OAuth", "type": ["object", "string", "null"]},
    "logins": many("the ways to log in, the best first", _TEXT),
    "explanation": many("how a person gets a password or a token", _TEXT),
    "by_plan": flag("whether the limits of a day depend on the plan"),
    "tls_ca_file": text("file with a private CA; null without one", null=True),
    "tls_fingerprint": text("the certificate's fingerprint that is wanted; null without one", null=True),
    "tls_cert_file": text("file with the client's certificate; null without one", null=True),
    "helo_name": text("name for EHLO; null for this machine's", null=True),
    "source_address": text("address to connect from; null for any", null=True),
    "connections": number("how many connections at a time; null where that is not documented", null=True),
    "messages_per_minute": number("the limit of messages by minute; null without one", null=True),
    "messages_per_day": number("the limit of messages by day; null without one", null=True),
    "recipients_per_day": number("the limit of recipients by day; null without one", null=True),
    "recipients_per_message": number(
        "the most recipients of one message; null where that is not documented", null=True
    ),
    "timeout_seconds": number("how long to wait for a connection and for each reply", least=1),
    "data_timeout_seconds": number("how long to wait for the answer to a message", least=1),
    "preset": text("name of the OAuth preset; null without one", null=True),
    "grant": text("the OAuth grant"),
    "client_id": text("the OAuth client's id; null without one", null=True),
    "scope": text("the OAuth scope; null without one", null=True),
    "token_url": text("where tokens are got; null where the preset says it", null=True),
    "help": text("what it does", null=True),
    "command": text("words of a command"),
    "commands": many("command lines that change what happens", _TEXT),
    "options": many("its options and arguments", ref("option")),
    "subcommands": many("names of the commands below it", _TEXT),
}
OF_COUNTS: dict[str, Schema] = {
    "total": number("how many there are in all; null where counting them would take long", null=True),
    "cut": flag("whether there are more than are told"),
    "due": number("how many messages a drain would take now"),
    "oldest_due_age_seconds": number("for how long the longest undelivered one is due; null if none is", null=True),
    "last_attempt_at": time("when the latest attempt ended; null if there was none"),
    "attempted": number("how many attempts the run has made"),
    "recovered": number("how many messages of runs that died were settled"),
    "still_due": number("how many messages are due and were not taken"),
    "pruned": number("how many messages were pruned, or with dry_run would be"),
    "known_pruned": number("how many imported messages were deleted, or would be"),
    "dry_run": flag("whether nothing was changed"),
    "compacted": flag("whether nothing of what was deleted is left in unused places of the file"),
    "bytes": number("size of the outbox's file or tables"),
    "bytes_before": number("size of the outbox's file or tables before"),
    "stored": number("how many messages are in the file"),
    "not_ended": number("how many of them have not ended"),
    "kept": text("path of the outbox that was there before; null if there was none", null=True),
    "guarded": flag("whether nothing is sent until a person accepts the backup"),
    "only_in_kept": many("ids of messages that have not ended and are only in the outbox that was kept", _NUMBER),
    "hints": many("what to do next", _TEXT),
    "undone": flag("whether the move or the copy was undone"),
    "original": text("the outbox that was copied: its file, or its database without a password"),
    "copy": text("the outbox that was made of it"),
    "tables": many("what the copy consists of", ref("copied_table")),
    "table": text("name of a table; the messages are in outbox"),
    "copied_rows": number("how many rows the copy has"),
    "went_on": flag("whether an earlier copy went on, or was finished before"),
    "warnings": many("what to look after", _TEXT),
    "contents": number("how many contents were compared"),
    "envelopes": number("how many envelopes were compared"),
    "dropped": number("how many messages have no content any more"),
    "faults": many("what is wrong; empty if all is well", _TEXT),
    "unfinished": many("ids of those that stay because they have not ended", {"type": "integer"}),
    "outbox_ids": many("ids of the messages", {"type": "integer"}),
    "imported": number("how many messages were learned"),
    "known_already": number("how many were known before"),
    "skipped": number("how many could not be read as a message"),
    "version_before": number("version of the outbox's tables before; 0 if there were none"),
    "version": number("version of the outbox's tables"),
    "accepted": flag("whether the outbox was a restored backup, and is accepted now"),
}  # fmt: skip
KEYS: dict[str, Schema] = {
    **OF_MESSAGES, **OF_BATCHES, **OF_ERRORS, **OF_ACCOUNTS, **OF_CHECKS, **OF_CONFIGS, **OF_COUNTS,
}  # fmt: skip
