"""What ``--json`` answers and notify events look like, as JSON Schemas: keys, the objects made of them, and commands.

Nothing here is imported to answer.  ``python -m prx_email_cli.cli.answers docs/schema`` writes the schemas (``make
docs``), and tests compare them with real answers.
"""
