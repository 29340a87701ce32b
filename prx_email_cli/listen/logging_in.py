"""The AUTH command (RFC 4954), with PLAIN and LOGIN."""

import asyncio
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any

from prx_email_cli.errors import PrxEmailError

if TYPE_CHECKING:
    from prx_email_cli.listen.clients import Client
    from prx_email_cli.listen.desk import Desk

MOST_FAILURES = 3
SLOWER_SECONDS = 1.0  # after a wrong password


class _Aborted(Exception):
    """The exchange ended without a name and a password; the text is the reply."""


class LoggingIn:
    """The part of a dialogue that lets a client log in."""

    desk: "Desk"
    client: "Client"
    session: Any
    push: Any
    challenge_auth: Any
    _tls_protocol: Any
    _leave: Any
    _failures = 0

    @property
    def may_log_in(self) -> bool:
        """Tell whether logins are offered: never in clear."""
        return bool(self.desk.around.logins) and bool(self._tls_protocol or self.client.encrypted)

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802
        """Log in."""
        refusal = self._refusal(arg)
        if refusal:
            await self.push(refusal)
            return
        mechanism, *initial = (arg or "").split()
        try:
            if mechanism.upper() == "PLAIN":
                name, password = await self._plain(initial)
            else:
                name, password = await self._login(initial)
        except _Aborted as error:
            await self.push(str(error))
            return
        if await self._is_right(name, password):
            self.session.authenticated = True
            self.client = self.client.as_user(name)
            await self.push("235 2.7.0 logged in")
            return
        self._failures += 1
        self.desk.say(f"a login from {self.client.address or self.client.name} was refused")
        await asyncio.sleep(SLOWER_SECONDS)
        if self._failures >= MOST_FAILURES:
            self._leave("421 4.7.0 closing: too many wrong logins")
        else:
            await self.push("535 5.7.8 wrong name or password")

    def _refusal(self, arg: str | None) -> str:
        words = (arg or "").split()
        if not self.session.host_name or not self.session.extended_smtp:
            return "503 5.5.1 EHLO first"
        if not self.desk.around.logins:
            return "502 5.5.1 there are no logins here"
        if not self.may_log_in:
            return "538 5.7.11 STARTTLS first"
        if self.session.authenticated:
            return "503 5.5.1 logged in already"
        if not 1 <= len(words) <= 2:
            return "501 5.5.4 syntax: AUTH mechanism [initial-response]"
        return "" if words[0].upper() in ("PLAIN", "LOGIN") else "504 5.5.4 PLAIN and LOGIN are known"

    async def _plain(self, initial: list[str]) -> tuple[str, str]:
        identity, name, password = ([*(await self._answer(initial, "")).split("\0"), "", ""])[:3]
        if identity not in ("", name):
            raise _Aborted("535 5.7.8 nobody may log in for another")
        return name, password

    async def _login(self, initial: list[str]) -> tuple[str, str]:
        return await self._answer(initial, "Username:"), await self._answer([], "Password:")

    async def _answer(self, initial: list[str], challenge: str) -> str:
        if initial:
            text = "" if initial[0] == "=" else initial[0]
            try:
                return b64decode(text, validate=True).decode()
            except (Base64Error, ValueError):
                raise _Aborted("501 5.5.2 not base64") from None
        answer = await self.challenge_auth(challenge)
        if not isinstance(answer, bytes):  # it has told the client
            raise _Aborted("")
        try:
            return answer.decode()
        except UnicodeDecodeError:
            raise _Aborted("501 5.5.2 not UTF-8") from None

    async def _is_right(self, name: str, password: str) -> bool:
        logins = self.desk.around.logins
        if logins is None:
            return False
        try:
            logins.reload()
        except PrxEmailError as error:
            self.desk.say(error.message)
        return await asyncio.get_running_loop().run_in_executor(None, logins.accepts, name, password)
