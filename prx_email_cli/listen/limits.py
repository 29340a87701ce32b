"""Count what each client has open and has sent; pure: time is an argument."""

from collections import deque

MINUTE = 60.0
_MOST_CLIENTS = 10_000  # whose pace is remembered


class Limits:
    """Connections at once, of all and of each client, and messages a minute of each."""

    def __init__(self, connections: int, per_client: int, messages_per_minute: int | None) -> None:
        self._open: dict[str, int] = {}
        self._sent: dict[str, deque[float]] = {}
        self.change(connections, per_client, messages_per_minute)

    def change(self, connections: int, per_client: int, messages_per_minute: int | None) -> None:
        """Hold clients to other limits from now on; what is open stays so."""
        self._connections, self._per_client, self._pace = connections, per_client, messages_per_minute

    @property
    def open(self) -> int:
        """Count the connections that are open."""
        return sum(self._open.values())

    def connect(self, client: str) -> str | None:
        """Count a new connection of *client*; return why it is refused, and then it is not counted."""
        if self.open >= self._connections:
            return "too many connections"
        if self._open.get(client, 0) >= self._per_client:
            return "too many connections from you"
        self._open[client] = self._open.get(client, 0) + 1
        return None

    def disconnect(self, client: str) -> None:
        """Count a connection of *client* no more."""
        left = self._open.get(client, 0) - 1
        if left > 0:
            self._open[client] = left
        else:
            self._open.pop(client, None)

    def take(self, client: str, now: float) -> bool:
        """Count a message of *client* at *now*, if the last minute has room for it."""
        if self._pace is None:
            return True
        sent = self._sent.setdefault(client, deque())
        while sent and sent[0] <= now - MINUTE:
            sent.popleft()
        if len(sent) >= self._pace:
            return False
        sent.append(now)
        if len(self._sent) > _MOST_CLIENTS:
            self._sent = {name: times for name, times in self._sent.items() if times and times[-1] > now - MINUTE}
        return True
