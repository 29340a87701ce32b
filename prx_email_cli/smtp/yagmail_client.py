"""yagmail's client, imported without what else yagmail can do, which would be a quarter of a drain of one message."""

import sys
from types import ModuleType
from typing import Any

# Its asynchronous client and two ways to get a secret, none of which is used here; with what it takes from them.
_LEFT_OUT: dict[str, tuple[str, ...]] = {
    "keyring": (),
    "yagmail.async_core": (),
    "yagmail.async_core.aio": ("AsyncSMTP", "AIOSMTP", "AsyncClient"),
    "yagmail.oauth2": ("get_oauth2_info", "get_oauth_string"),
}


def _client() -> Any:
    """Return yagmail's class ``SMTP``; of a yagmail that is made in another way, whatever the import costs."""
    before = set(sys.modules)
    stand_ins = {name: _stand_in(name, names) for name, names in _LEFT_OUT.items() if name not in before}
    sys.modules.update(stand_ins)
    try:
        import yagmail  # on use

        return yagmail.SMTP
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "yagmail" and name not in before]:
            del sys.modules[name]
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)
    import yagmail  # on use

    return yagmail.SMTP


def _stand_in(name: str, names: tuple[str, ...]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(dict.fromkeys(names))
    return module


SMTP = _client()
