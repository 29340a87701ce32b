"""``prx-email completion``: print the script by which a shell completes command lines of this program.

Each script asks the program itself, in ``cli.completing``: what it answers is shown or inserted, and never evaluated.
"""

from typing import Annotated

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json

app = typer.Typer(add_completion=False)

_BASH = """\
_prx_email() {
    local kind value text
    COMPREPLY=()
    {
        read -r kind
        while IFS=$'\\t' read -r value text; do
            COMPREPLY+=("$value")
        done
    } < <(_PRX_EMAIL_COMPLETE=bash "${1/#\\~/$HOME}" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case $kind in
        file) compopt -o default ;;
        dir) compopt -o dirnames ;;
    esac
}
complete -o nosort -F _prx_email prx-email 2>/dev/null || complete -F _prx_email prx-email
"""

_ZSH = """\
#compdef prx-email
_prx_email() {
    local kind value text
    local -a values shown options expl
    {
        read -r kind
        while IFS=$'\\t' read -r value text; do
            values+=("$value")
            shown+=("$value${text:+  -- $text}")
            [[ -z $text ]] || options=(-l -d shown)
        done
    } < <(_PRX_EMAIL_COMPLETE=zsh "${(Q)words[1]}" "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    case $kind in
        file) _files ;;
        dir) _files -/ ;;
        *) _wanted -V candidates expl prx-email compadd $options -a values ;;
    esac
}
if [[ ${funcstack[1]} == _prx?email ]]; then  # read as a file of fpath, at its first use
    _prx_email "$@"
else
    compdef _prx_email prx-email
fi
"""

_FISH = """\
function __prx_email_complete
    set -l words (commandline -opc)
    set -l answer (_PRX_EMAIL_COMPLETE=fish $words[1] $words[2..-1] (commandline -ct) 2>/dev/null)
    switch "$answer[1]"
        case file
            __fish_complete_path (commandline -ct)
        case dir
            __fish_complete_directories (commandline -ct)
        case '*'
            string join \\n -- $answer[2..-1]
    end
end
complete --command prx-email --no-files --keep-order --arguments '(__prx_email_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _check_shell(value: str) -> str:
    if value not in SCRIPTS:
        raise typer.BadParameter("must be bash, zsh or fish")
    return value


@app.command()
def completion(
    ctx: typer.Context,
    shell: Annotated[
        str, typer.Argument(metavar="bash|zsh|fish", callback=_check_shell, help="Shell that the script is for.")
    ],
    as_json: Json = False,
) -> None:
    """Print a script that lets a shell complete commands, options, account names and outbox ids.

    For bash: eval "$(prx-email completion bash)" in ~/.bashrc.
    For zsh: the same with zsh in ~/.zshrc, below compinit.
    For fish: prx-email completion fish > ~/.config/fish/completions/prx-email.fish
    Example: eval "$(prx-email completion bash)"
    """
    if invocation(ctx).json:
        put_json({"shell": shell, "script": SCRIPTS[shell]})
    else:
        put(SCRIPTS[shell].rstrip("\n"))


apps = {"completion": app}
