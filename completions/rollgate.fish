# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rollgate_global_optspecs
    string join \n i/inventory= o/output= color= no-input allow-insecure-files q/quiet v/verbose h/help V/version
end

function __fish_rollgate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rollgate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rollgate_using_subcommand
    set -l cmd (__fish_rollgate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rollgate -n "__fish_rollgate_needs_command" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_needs_command" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_needs_command" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_needs_command" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_needs_command" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_needs_command" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_needs_command" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_needs_command" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_needs_command" -s V -l version -d 'Print version'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "stage" -d 'Copy and verify the new version on every node; nothing restarts'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "start" -d 'Upgrade the nodes batch by batch, stopping at every gate'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "status" -d 'Show what each node runs and where the current run stands'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "unstage" -d 'Stop a run safely, undo what is temporary, remove what was staged'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "rollback" -d 'Put nodes back on the version they ran before'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "check" -d 'Check the files, SSH access and tools; change nothing'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "approve" -d 'Answer a gate or question that waits, from any terminal'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "report" -d 'Write a run\'s report: HTML, SVG, text, JSON, or a bundle'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "init" -d 'Print a commented starter inventory'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "schema" -d 'Print the JSON schema of an inventory or procedure, for editors'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "completions" -d 'Print a shell completion script'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "man" -d 'Show a manual page; print its source off a terminal'
complete -c rollgate -n "__fish_rollgate_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -s l -l limit -d 'Only these nodes: names, groups, globs, with commas; ! leaves out' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l parallel -d 'Nodes to copy to at the same time' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l change -d 'Ticket or change number for the journal and the report' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l lock-wait -d 'Wait this long for another run to let go of the cluster' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l break-lock -d 'Take the lock from a rollgate that is dead; it is journaled' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand stage" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s l -l limit -d 'Only these nodes: names, groups, globs, with commas; ! leaves out' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l adopt -d 'With --resume: take over a run from what its nodes keep' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l decide -d 'With --resume: settle an unknown step: done, retry, fail[:WHY]' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l confirm -d 'Agree to begin without typing it; must equal the name' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l change -d 'Ticket or change number for the journal and the report' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l override -d 'Open one closed gate, or the window; journaled (repeatable)' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l gate-timeout -d 'Give up waiting for a gate after this long, such as 30m or 1h30m' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l pause-after -d 'Stop at a safe point after this node' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l lock-wait -d 'Wait this long for another run to let go of the cluster' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l break-lock -d 'Take the lock from a rollgate that is dead; it is journaled' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s n -l dry-run -d 'Run pre-checks and read every gate, change nothing'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l detailed-exitcode -d 'With --dry-run: exit 19 when an upgrade is pending and could start'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l resume -d 'Go on with the run that stopped'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s y -l yes -d 'Answer yes at gates whose checks hold (never opens a closed gate)'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l detach -d 'Go on in the background once it is agreed to; approve answers gates'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand start" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -s w -l watch -d 'Show it again every few seconds until the run ends [default: 5]' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l list -d 'Show every run of the cluster, the latest first, a line each'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l offline -d 'Use the journal only, do not connect to nodes'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l from-nodes -d 'Show what the nodes keep of the run, without this machine\'s own journal'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l detailed-exitcode -d 'Exit with the state: 0 done, 18 running, 19 pending, else how the run ended'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand status" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -l lock-wait -d 'Wait this long for another run to let go of the cluster' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -l break-lock -d 'Take the lock from a rollgate that is dead; it is journaled' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -s y -l yes -d 'Do not ask'
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand unstage" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s l -l limit -d 'Only these nodes: names, groups, globs, with commas; ! leaves out' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l confirm -d 'Agree to begin without typing it; must equal the name' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l change -d 'Ticket or change number for the journal and the report' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l lock-wait -d 'Wait this long for another run to let go of the cluster' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l break-lock -d 'Take the lock from a rollgate that is dead; it is journaled' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s y -l yes -d 'Answer yes at gates whose checks hold (never opens a closed gate)'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l detach -d 'Go on in the background once it is agreed to; approve answers gates'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand rollback" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -l syntax-only -d 'Read the files only, do not connect'
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand check" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l node -d 'The node that it belongs to' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l reason -d 'Why; opens a gate that is closed, and goes into the journal' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l confirm -d 'Agree to what must be typed; must equal the cluster\'s name' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l question -d 'Only if it is still this question, by its number' -r
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l deny -d 'Answer no: the run stops at its next safe point'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l retry -d 'Of a step that failed: try it again'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l done -d 'Of a step that failed: take it as done'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l skip -d 'Of a step that failed: go on without its node'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l roll-back -d 'Of a step that failed: roll its node back, then stop'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand approve" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -s f -l file -d 'File to write; its ending picks the format: .html, .svg, .txt, .json' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -l format -d 'Format, where there is no file or its ending says nothing' -r -f -a "html\t''
svg\t''
text\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -l bundle -d 'Pack journal, transcripts and report into FILE, secrets masked' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand report" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -l from-ansible -d 'Take the nodes from the JSON of `ansible-inventory --list`; - is standard input' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand init" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand schema" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand completions" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -s i -l inventory -d 'Inventory file (default: ./rollgate.yaml, then the user and system one)' -r -F
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -s o -l output -d 'Output style; auto is human on a terminal, plain elsewhere' -r -f -a "auto\t''
human\t''
plain\t''
json\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -l color -d 'Use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -l no-input -d 'Never ask; stop where an answer would be needed'
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -l allow-insecure-files -d 'Use files that others could have changed'
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -s q -l quiet -d 'Say less (errors and the last line only)'
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -s v -l verbose -d 'Say more (what begins, what was read and captured)'
complete -c rollgate -n "__fish_rollgate_using_subcommand man" -s h -l help -d 'Print help'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "stage" -d 'Copy and verify the new version on every node; nothing restarts'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "start" -d 'Upgrade the nodes batch by batch, stopping at every gate'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "status" -d 'Show what each node runs and where the current run stands'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "unstage" -d 'Stop a run safely, undo what is temporary, remove what was staged'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "rollback" -d 'Put nodes back on the version they ran before'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "check" -d 'Check the files, SSH access and tools; change nothing'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "approve" -d 'Answer a gate or question that waits, from any terminal'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "report" -d 'Write a run\'s report: HTML, SVG, text, JSON, or a bundle'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "init" -d 'Print a commented starter inventory'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "schema" -d 'Print the JSON schema of an inventory or procedure, for editors'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "completions" -d 'Print a shell completion script'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "man" -d 'Show a manual page; print its source off a terminal'
complete -c rollgate -n "__fish_rollgate_using_subcommand help; and not __fish_seen_subcommand_from stage start status unstage rollback check approve report init schema completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
