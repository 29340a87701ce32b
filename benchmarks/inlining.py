"""What css-inline takes to move a page's style sheet into attributes, against premailer, which yagmail installs anyway.

Twice: a fresh interpreter that imports the one or the other, less one that imports nothing; and a newsletter of 60
rows, whose sheet has 40 rules.  The program's whole way with that page, parsed and written too, is told beside them.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import css_inline
import premailer

from benchmarks.common import Verdicts, in_turns, options, ratio, spent
from prx_email_cli.mail.attachments import Policy
from prx_email_cli.mail.html import html_body

LIMIT = 0.25
RULES = "".join(f".c{number} {{ color: #0000{number:02}; padding: {number}px 0 }}\n" for number in range(37))
ROWS = "".join(f'<tr><td class="c{number % 40}">Item {number}</td><td><b>1</b></td></tr>' for number in range(60))
PAGE = (
    f"<!DOCTYPE html><html><head><title>News</title><style>p {{ margin: 0 }} td b {{ color: red }}\n{RULES}"
    "@media (max-width: 600px) { table { width: 100% } }</style></head>"
    f"<body><p>Hello</p><table>{ROWS}</table></body></html>"
)
POLICY = Policy(1_000_000, (), 1_000_000, None)


def starting(script: str) -> Callable[[], float]:
    """Milliseconds of a process that runs *script*."""
    return lambda: spent([sys.executable, "-c", script]).wall * 1000


def inlining(work: Callable[[], object], pages: int) -> Callable[[], float]:
    """Milliseconds of *work* for one page."""

    def measured() -> float:
        start = time.perf_counter()
        for _ in range(pages):
            work()
        return (time.perf_counter() - start) / pages * 1000

    return measured


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, rounds=21, pages=20)
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
    contestants: dict[str, Callable[[], float]] = {
        "import nothing": starting("pass"),
        "import css_inline": starting("import css_inline"),
        "import premailer": starting("import premailer"),
        "css_inline": inlining(lambda: inliner.inline(PAGE), asked.pages),
        "premailer": inlining(
            lambda: premailer.Premailer(PAGE, allow_network=False, disable_validation=True).transform(), asked.pages
        ),
        "html_body": inlining(lambda: html_body(PAGE, None, POLICY), asked.pages),
    }
    for contestant in contestants.values():  # compiles what is not yet
        contestant()
    took = in_turns(contestants, asked.rounds)
    for library in ("css_inline", "premailer"):
        whole = zip(took[f"import {library}"], took["import nothing"], strict=True)
        took[f"import {library}"] = [loaded - bare for loaded, bare in whole]
    for name, values in took.items():
        print(f"{name:17} {median(values):8.2f} ms")
    verdicts = Verdicts()
    for name in ("import {}", "{}"):
        ours, theirs = name.format("css_inline"), name.format("premailer")
        verdicts.at_most(f"{ours} / {theirs}", ratio(took[ours], took[theirs]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
