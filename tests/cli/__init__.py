"""The command line's contract, seen from outside: real processes, real files, real sockets."""
