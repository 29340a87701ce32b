"""``prx-email``, also as ``python -m prx_email_cli``: signals end it quietly before anything else is loaded."""

from prx_email_cli.cli import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.watch()
    from prx_email_cli.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
