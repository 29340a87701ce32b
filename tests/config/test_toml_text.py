"""A document is split into statements that together are the document, however its values are written."""

import tomllib

import pytest

from prx_email_cli.config.toml_text import statements, without_inline_table, without_table

DOCUMENT = """\
# top

a = 1 # [x]
'b.c'."d" = QQQ
[t] \\QQQ # noQQQ""
[t."u]"]# h
v = [ # in
  '''
]'''
, {w = '#'}]
[[l]]
\tx.y = {z = "]"}
  # end""".replace("QQQ", '"' * 3)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_statements_are_the_document(end: str) -> None:
    document = DOCUMENT.replace("\n", end)
    tomllib.loads(document)
    assert "".join(statement.text for statement in statements(document)) == document


def test_each_has_its_path_from_the_top_and_its_comments() -> None:
    found = [(statement.path, statement.comments) for statement in statements(DOCUMENT) if statement.path]
    assert found == [
        (("a",), (("# [x]", False),)),
        (("b.c", "d"), ()),
        (("t", "u]"), (("# h", False),)),
        (("t", "u]", "v"), (("# in", True),)),
        (("l",), ()),
        (("l", "x", "y"), ()),
    ]


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        ("[a]\nx=1\n# c\n[b]\n", ("", "# c\n[b]\n")),
        ("# a\n[a]\n# in\n[a.b]\n[c]\n[a.d]\n# c", ("# a\n", "[c]\n# c")),
        ("a.x=1\na.y=2 # y\nb=1\n", ("b=1\n", None)),
        ("b=1\n", ("b=1\n", None)),
    ],
)
def test_a_table_is_taken_out_with_the_comments_inside(document: str, parts: tuple[str, str | None]) -> None:
    assert without_table(document, ("a",)) == parts


@pytest.mark.parametrize(
    ("document", "rest"),
    [
        ("b=1\na = {x = 1} # c\n[t]\n", "b=1\n# c\n[t]\n"),
        ("a = {x = [ # in\n1]}\n", None),
        ("[a]\nx = 1\n", None),
        ("[b]\na = {}\n", None),
    ],
)
def test_an_inline_table_leaves_the_comment_at_its_end(document: str, rest: str | None) -> None:
    assert without_inline_table(document, "a") == rest
