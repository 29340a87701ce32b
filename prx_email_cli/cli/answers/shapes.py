"""Make the objects of the answers of keys, each of which is described once."""

from collections.abc import Mapping
from typing import NamedTuple

from prx_email_cli.cli.answers.keys import KEYS, Schema, flag, many, number, ref, text, word
from prx_email_cli.outbox.lifecycle import RecipientStatus

_NO_KEYS: Mapping[str, Schema] = {}


class Shape(NamedTuple):
    """An object: the names of the keys that it always has, and of those that it may have.

    own: keys that mean here what they mean nowhere else; each says why.
    """

    always: str
    maybe: str = ""
    own: Mapping[str, Schema] = _NO_KEYS

    def schema(self) -> Schema:
        """Return its JSON Schema, which admits no other key."""
        names = self.always.split()
        every = [*names, *self.maybe.split()]
        return {
            "type": "object",
            "properties": {name: self.own[name] if name in self.own else KEYS[name] for name in every},
            "required": names,
            "additionalProperties": False,
        }


# The contract gives these names to numbers of messages or attempts, too, in reports that have nothing else.
COUNTS = {
    name: number(f"how many {what}")
    for name, what in {
        "sent": "were sent", "failed": "have failed, or attempts did", "gave_up": "were given up",
        "pending": "are pending", "sending": "are sending", "cancelled": "were cancelled",
        "expired": "expired unattempted", "held": "are held",
        "uncertain": "are uncertain",
    }.items()
}  # fmt: skip
_SENT = "outbox_id status retries provider_message_id next_attempt_at message_id"
_ROW = (
    "outbox_id account status retries next_attempt_at message_id provider_message_id last_error subject to size_bytes"
    " created_at sent_at held gave_up uncertain error_code priority run_died repeated pruned_at"
    " anonymised_at dismissed_at"
)
_WHOLE = f"{_ROW} recipients attempts actions sender due_at first_due_at expires_at run_id idempotency_key enqueued_by"
_STANDING = "account paused paused_at paused_until paused_by reason resting rests_until failing_since error_code detail"
_EXAMINED = (
    "account host port addresses peer tls_version cipher certificate extensions login size_limit steps"
)  # fmt: skip
_KNOWN = "message_id account from reply_to to cc subject date in_reply_to references learned_at"
_TALLY = "pending sending sent failed cancelled expired"
_WAY_TO_LOG_IN = {"oauth": ref("oauth", null=True)}
_RECIPIENT = {
    "status": word("whether the server has taken the message for the recipient", RecipientStatus),
    "code": number("code of the server's reply; null without one", null=True),
}
_RUN = {"run_id": text("name of the run that has it in hand; null if none has", null=True)}
_ATTEMPT = {"code": _RECIPIENT["code"]}
_ENTRY = {
    "outbox_id": number("the message; null if it was done to an account", null=True, least=1),
    "code": _RECIPIENT["code"],
    "run_id": text("name of the run that attempted it; null for what a person did", null=True),
}
_IDS = {
    name: many(f"ids of the messages that were {what}", {"type": "integer"})
    for name, what in (("sent_ids", "sent"), ("deferred_ids", "deferred"), ("gave_up_ids", "given up"))
}

SHAPES = {
    "error": Shape("code message hint"),
    "send_result": Shape(_SENT),
    "sent": Shape(f"{_SENT} duplicate"),
    "retried": Shape("outbox_id error", "status retries provider_message_id next_attempt_at message_id"),
    "decided": Shape("outbox_id error"),
    "row": Shape(_ROW),
    "shown": Shape(f"{_WHOLE} answer next commands from attachments", "headers text", own=_RUN),
    "caller": Shape("user uid host command"),
    "attachment": Shape("filename", "content_type size_bytes"),
    "recipient": Shape("address", "kind status code response uncertain", _RECIPIENT),
    "attempt": Shape(
        "started_at finished_at run_id message_id outcome code enhanced response uncertain dialogue", own=_ATTEMPT
    ),
    "action": Shape("outbox_id account at what who detail", own={
        "outbox_id": number("the message; null if it was done to the account", null=True, least=1)
    }),
    "entry": Shape(
        "at entry outbox_id account what who detail code response uncertain message_id run_id began_at", own=_ENTRY
    ),
    "top": Shape("accounts all_paused runs in_hand latest", own={
        "accounts": many("each account", ref("account_rate"))
    }),
    "account_rate": Shape(f"{_STANDING} waiting delivered_last_minute delivered_last_hour"),
    "living_run": Shape("run_id started_at", own={"run_id": text("name of the run")}),
    "hand": Shape("outbox_id account run_id claimed_at subject address size_bytes"),
    "previewed": Shape("account sender recipients subject next_attempt_at size_bytes base64", "line row"),
    "stored_line": Shape("outbox_id duplicate", "line row"),
    "refused_line": Shape("code message hint", "line row"),
    "batch": Shape("enqueued duplicates refused messages errors", "lines rows", {
        "messages": many(
            "each message that was stored, or with --preview would be",
            {"anyOf": [ref("stored_line"), ref("previewed")]},
        ),
        "errors": many("why each refused one was refused", ref("refused_line")),
    }),
    "exported": Shape("outbox_id message_id sender", "base64 file"),
    "known": Shape(_KNOWN),
    "known_text": Shape(f"{_KNOWN} text"),
    "imported": Shape("imported known_already skipped"),
    "drain_report": Shape(
        "run_id attempted sent failed gave_up recovered still_due sent_ids deferred_ids gave_up_ids accounts",
        own={**COUNTS, **_IDS, "accounts": many("each account that had due messages", ref("drained_account"))},
    ),
    "drained_account": Shape("account sent failed error_code why", own={
        **COUNTS, "why": text("why the account was not used to the end; null if it was", null=True),
    }),
    "tally": Shape(_TALLY, own=COUNTS),
    "stats": Shape(
        f"{_TALLY} total due oldest_due_age_seconds gave_up held uncertain last_attempt_at accounts last_drain_at",
        own={**COUNTS, "accounts": {
            "description": "the counts of each account, by its name", "type": "object",
            "additionalProperties": ref("tally"),
        }, "total": number("how many messages there are")},
    ),
    "standing": Shape(_STANDING),
    "resumed": Shape("account resumed"),
    "account_status": Shape(f"{_STANDING} waiting oldest_age_seconds delivered_last_hour limits"),
    "limit": Shape("most of seconds taken free_at"),
    "cause": Shape(
        "account by_account gave_up error_code example many oldest_at outbox_id uncertain meaning source fix",
        own={"gave_up": flag("whether these messages were given up")},
    ),
    "status": Shape("accounts all_paused causes last_drain_at last_drain_by runs_died wanted"),
    "gave_up_event": Shape(
        f"event {_WHOLE} answer next commands from attachments", own={"event": {"const": "gave_up"}, **_RUN}
    ),
    "account_down_event": Shape(f"event {_STANDING} waiting message", own={"event": {"const": "account_down"}}),
    "account_up_event": Shape(f"event {_STANDING} waiting message", own={"event": {"const": "account_up"}}),
    "check": Shape("name result detail fix", "group"),
    "doctor": Shape("checks"),
    "backlog": Shape("state", "reasons late oldest_age_seconds waiting held_uncertain failures last_drain_at", {
        "oldest_age_seconds": number("for how long the longest undelivered one is due; 0 if none is"),
    }),
    "examined": Shape(_EXAMINED),
    "examined_one": Shape(f"{_EXAMINED} error"),
    "certificate": Shape("subject issuer names expires_at sha256", own={
        "subject": text("whom the certificate is for; null where that is not known", null=True),
    }),
    "config_check": Shape("config outbox account_names default_account"),
    "config_path": Shape("config exists"),
    "completion": Shape("shell script"),
    "crontab": Shape("crontab_line variables"),
    "installation": Shape("dry_run system_steps kept_because"),
    "install_step": Shape("shell_line done_before"),
    "job": Shape(
        "argv exit_status signal timed_out started_at duration_seconds output_bytes output_lines outbox_id duplicate",
        own={"outbox_id": number("the mail about the job; null if there is none", null=True, least=1)},
    ),
    "account": Shape(
        "name from provider host port tls user auth oauth tls_ca_file tls_fingerprint tls_cert_file helo_name"
        " source_address connections messages_per_minute messages_per_day recipients_per_day timeout_seconds"
        " data_timeout_seconds", own=_WAY_TO_LOG_IN,
    ),
    "oauth": Shape("preset grant client_id scope token_url"),
    "provider": Shape(
        "name aliases host port tls logins title preset user connections messages_per_minute messages_per_day"
        " size_limit recipients_per_message recipients_per_day by_plan explanation"
    ),
    "written": Shape("config account"),
    "removed": Shape("account config default_account backup"),
    "default": Shape("default_account"),
    "logged_out": Shape("account removed revoked"),
    "password": Shape("account keyring"),
    "login": Shape("name file"),
    "pruned": Shape("pruned known_pruned dry_run compacted unfinished", "outbox_ids"),
    "copied": Shape("file bytes stored not_ended"),
    "move_undone": Shape("file undone"),
    "verified": Shape("file stored contents dropped envelopes faults", own={"stored": ref("by_status")}),
    "by_status": Shape("", "pending sending sent failed", own=COUNTS),
    "outbox_copied": Shape("original copy tables went_on warnings"),
    "copied_table": Shape("table copied_rows"),
    "copy_undone": Shape("original undone"),
    "replaced": Shape("stored not_ended kept guarded only_in_kept file hints"),
    "compacted": Shape("bytes bytes_before"),
    "migrated": Shape("outbox version_before version"),
    "accepted": Shape("accepted"),
    "arrived": Shape("message_id subject recipients in_reply_to attachments size_bytes", own={
        "in_reply_to": text("Message-ID of what it answers; null if it answers nothing", null=True),
    }),
    "help": Shape("command help options subcommands"),
    "option": Shape("names help"),
}  # fmt: skip
