"""Run a module, or code, as another user: root calls it with ``UID MODULE ARGUMENTS`` or ``UID -c CODE``.

The interpreter and its libraries may lie where that user may not look, below /root for example.  They are reached
through directories that root has opened before.
"""

import os
import runpy
import sys


def main() -> None:
    """Become the user, for good, and run the module as the main one."""
    uid, module, *arguments = sys.argv[1:]
    _open_libraries()
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    if module == "-c":
        exec(arguments[0], {"__name__": "__main__"})
        return
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _open_libraries() -> None:
    """Have every directory that modules come from reached through a descriptor."""
    opened: dict[str, str] = {}

    def through_descriptor(path: str) -> str:
        if not os.path.isdir(path):
            return path
        if path not in opened:
            opened[path] = f"/proc/self/fd/{os.open(path, os.O_RDONLY | os.O_DIRECTORY)}"
        return opened[path]

    sys.path[:] = [through_descriptor(path) for path in sys.path]
    for module in list(sys.modules.values()):
        places = getattr(module, "__path__", None)
        if isinstance(places, list):
            places[:] = [through_descriptor(path) for path in places]
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    main()
