function __prx_email_complete
    set -l words (commandline -opc)
    set -l answer (_PRX_EMAIL_COMPLETE=fish $words[1] $words[2..-1] (commandline -ct) 2>/dev/null)
    switch "$answer[1]"
        case file
            __fish_complete_path (commandline -ct)
        case dir
            __fish_complete_directories (commandline -ct)
        case '*'
            string join \n -- $answer[2..-1]
    end
end
complete --command prx-email --no-files --keep-order --arguments '(__prx_email_complete)'
