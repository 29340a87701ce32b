"""Real SMTP servers and certificates for the tests: the instruments, not the claims.

`ScriptedServer` misbehaves at named places, `MailHost` is a well-behaved provider, `Certificates` are theirs.
Everything stays on loopback, on ports the kernel chose, and stops with its `with` block.
"""
