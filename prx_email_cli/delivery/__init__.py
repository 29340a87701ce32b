"""Handing claimed messages to a provider: the drain, the session and the judgement of each reply."""
