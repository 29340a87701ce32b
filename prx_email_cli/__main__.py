"""``prx-email``, also as ``python -m prx_email_cli``: signals end it quietly before anything else is loaded."""

import _signal  # type: ignore[import-not-found]  # it is built in, while signal would load what can be interrupted
import os

for _number in (_signal.SIGINT, _signal.SIGTERM):
    if _signal.getsignal(_number) is not _signal.SIG_IGN:
        _signal.signal(_number, lambda number, frame: os._exit(128 + number))


def main() -> None:
    """Run the command line."""
    from prx_email_cli.cli.main import main as run  # on use: an interrupt during it is quiet already

    run()


if __name__ == "__main__":
    main()
