# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_baoctl_global_optspecs
    string join \n h/help V/version
end

function __fish_baoctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_baoctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_baoctl_using_subcommand
    set -l cmd (__fish_baoctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c baoctl -n "__fish_baoctl_needs_command" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_needs_command" -s V -l version -d 'Print version'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "migrate-raft" -d 'Take a server from one replica on file storage to a three-voter Raft cluster'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "rehearse" -d 'Perform the whole migration for real, on servers of its own on this machine'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "resume" -d 'Go on with a run that failed, was killed or was stopped'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "rollback" -d 'Take back what a run did: the source serves from its old storage again'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "cleanup" -d 'Remove what is left of a run that has ended: the old file tree, raft files aside, copies of the data'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "status" -d 'Tell where a migration stands and what each server says; changes nothing and needs no journal'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "check" -d 'Make the checks that a migration begins with, alone; changes nothing'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "watch" -d 'Watch the live data before the cutover: what changes, what a copy takes, how long the outage would be; changes nothing'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "report" -d 'Print the report of a run as Markdown: what was done, when, and what was compared'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "snapshot" -d 'Inspect, verify, make and compare raft snapshots'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "runbook" -d 'List, show and check runbooks'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "lock" -d 'Tell who holds the lock of a run, and how it becomes free'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "man" -d 'Print the manual page, or write one for each command'
complete -c baoctl -n "__fish_baoctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l runbook -d 'Runbook to follow: a built-in name or a file [default: migrate-raft; restore-snapshot with --from-snapshot]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l from-snapshot -d 'Restore this raft snapshot, as `bao operator raft snapshot save` wrote it, where no member has any data' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l cluster-id -d 'Cluster that the snapshot must be of; default: the one that the target\'s last run was about, where there was one' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l keys-file -d 'File with unseal keys and token, as `bao operator init -format=json` prints them; any token will do that may make the calls, see docs/policy.hcl' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l keys-command -d 'Command that prints the same, run by `sh -c`, for example `sops -d keys.json`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l keys-fd -d 'Open file descriptor to read the same from, for example 3 with `3< <(pass show bao)`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l confirm-outage -d 'Agree to the outage and to all that is not repeated blindly, by the namespace\'s name' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l from -d 'First step to run' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l until -d 'Last step to run' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l max-outage -d 'Go back to file storage when the outage gets longer than this, for example 60s; refuse to begin one that is expected to' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l sops-file -d 'With --runbook reseed: write the new keys to this file as well (.json or .yaml), encrypted by `sops` with the rules that it finds beside it or above' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l dry-run -d 'Print each call and change nothing'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l ask-keys -d 'Ask each key holder in turn at the terminal, without showing what is typed'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -s y -l yes -d 'Agree to every change that can be changed back'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l lose-data -d 'With --runbook reseed: leave the source\'s data behind; its file tree is kept until `baoctl cleanup`'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -l json -d 'Print one JSON object per line instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -s q -l quiet -d 'Print failures and the summary only'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -s v -l verbose -d 'Print each call and detail too'
complete -c baoctl -n "__fish_baoctl_using_subcommand migrate-raft" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l entries -d 'Entries of sample data in the source\'s tree, at least' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l shares -d 'Unseal shares of the sample source' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l threshold -d 'Shares needed to unseal it' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l source -d 'What the source keeps its data in; pebbledb takes a `bao` of 2.7' -r -f -a "file\t''
pebbledb\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l from-tree -d 'Rehearse on a copy of this file tree (a folder, or a tar of it) instead of sample data; with `--source pebbledb` of this store (its folder)' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l from-snapshot -d 'Restore this raft snapshot, as `bao operator raft snapshot save` wrote it, where no member has any data' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l cluster-id -d 'Cluster that the snapshot must be of; default: the one that the target\'s last run was about, where there was one' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l keys-file -d 'File with the unseal keys and a token of that tree or snapshot, as `bao operator init -format=json` prints them' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l runbook -d 'Runbook to follow: a built-in name or a file [default: migrate-raft; restore-snapshot with --from-snapshot]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l work-dir -d 'Folder for the servers and the run\'s files' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l bao -d 'The `bao` program; default: `$BAOCTL_BAO`, the cache of `make bao`, then the PATH' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l from -d 'First step to run' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l until -d 'Last step to run' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l large -d 'Also a value over raft\'s default entry size of 1 MiB'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l namespaces -d 'Also child namespaces, nested ones too; of the built-in runbooks only migrate-raft-fast moves them'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l keep -d 'Leave the servers running and their data in place'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l discard -d 'Stop and remove what an earlier rehearsal left in the folder, also when it is not finished, and then rehearse anew'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l source-only -d 'Make the source and stop there, for a `migrate-raft --platform local` of your own'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -l json -d 'Print one JSON object per line instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -s q -l quiet -d 'Print failures and the summary only'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -s v -l verbose -d 'Print each call and detail too'
complete -c baoctl -n "__fish_baoctl_using_subcommand rehearse" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l keys-file -d 'File with unseal keys and token, as `bao operator init -format=json` prints them; any token will do that may make the calls, see docs/policy.hcl' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l keys-command -d 'Command that prints the same, run by `sh -c`, for example `sops -d keys.json`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l keys-fd -d 'Open file descriptor to read the same from, for example 3 with `3< <(pass show bao)`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l confirm-outage -d 'Agree to the outage and to all that is not repeated blindly, by the namespace\'s name' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l from -d 'First step to run' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l until -d 'Last step to run' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l max-outage -d 'Go back to file storage when the outage gets longer than this, for example 60s; refuse to begin one that is expected to' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l sops-file -d 'With --runbook reseed: write the new keys to this file as well (.json or .yaml), encrypted by `sops` with the rules that it finds beside it or above' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l from-snapshot -d 'With a run that restores a snapshot: where the file is now, for example on another machine' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l ask-keys -d 'Ask each key holder in turn at the terminal, without showing what is typed'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l from-cluster -d 'Take the run over from another machine, from the copy of its journal in the cluster'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -s y -l yes -d 'Agree to every change that can be changed back'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l lose-data -d 'With --runbook reseed: leave the source\'s data behind; its file tree is kept until `baoctl cleanup`'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l no-sops-file -d 'With --runbook reseed: go on without the SOPS file that the run was begun with'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l accept-changed-runbook -d 'Go on although the runbook was edited since the run began'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -l json -d 'Print one JSON object per line instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -s q -l quiet -d 'Print failures and the summary only'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -s v -l verbose -d 'Print each call and detail too'
complete -c baoctl -n "__fish_baoctl_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l export -d 'Save the new cluster as a raft snapshot here, then lose what clients wrote to it' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l keys-file -d 'File with unseal keys and token, as `bao operator init -format=json` prints them; any token will do that may make the calls, see docs/policy.hcl' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l keys-command -d 'Command that prints the same, run by `sh -c`, for example `sops -d keys.json`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l keys-fd -d 'Open file descriptor to read the same from, for example 3 with `3< <(pass show bao)`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l confirm-outage -d 'Agree to the outage and to all that is not repeated blindly, by the namespace\'s name' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l dry-run -d 'Print each call and change nothing'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l lose-writes -d 'Lose what clients wrote to the new cluster, and save nothing of it'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l ask-keys -d 'Ask each key holder in turn at the terminal, without showing what is typed'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l from-cluster -d 'Take the run over from another machine, from the copy of its journal in the cluster'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -s y -l yes -d 'Agree to every change that can be changed back'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -l json -d 'Print one JSON object per line instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -s q -l quiet -d 'Print failures and the summary only'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -s v -l verbose -d 'Print each call and detail too'
complete -c baoctl -n "__fish_baoctl_using_subcommand rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l grace -d 'How long ago the run must have ended, for example 90m or 3d' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l keys-file -d 'File with unseal keys and token, as `bao operator init -format=json` prints them; any token will do that may make the calls, see docs/policy.hcl' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l keys-command -d 'Command that prints the same, run by `sh -c`, for example `sops -d keys.json`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l keys-fd -d 'Open file descriptor to read the same from, for example 3 with `3< <(pass show bao)`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l confirm-outage -d 'Agree to the outage and to all that is not repeated blindly, by the namespace\'s name' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l dry-run -d 'Print the list and change nothing'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l ask-keys -d 'Ask each key holder in turn at the terminal, without showing what is typed'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l from-cluster -d 'Take the run over from another machine, from the copy of its journal in the cluster'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -s y -l yes -d 'Agree to every change that can be changed back'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -l json -d 'Print one JSON object per line instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -s q -l quiet -d 'Print failures and the summary only'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -s v -l verbose -d 'Print each call and detail too'
complete -c baoctl -n "__fish_baoctl_using_subcommand cleanup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -l json -d 'Print one JSON object'
complete -c baoctl -n "__fish_baoctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l runbook -d 'Runbook that would be followed: a built-in name or a file [default: migrate-raft; restore-snapshot with --from-snapshot]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l from-snapshot -d 'Restore this raft snapshot, as `bao operator raft snapshot save` wrote it, where no member has any data' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l cluster-id -d 'Cluster that the snapshot must be of; default: the one that the target\'s last run was about, where there was one' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l keys-file -d 'File with unseal keys and token, as `bao operator init -format=json` prints them; any token will do that may make the calls, see docs/policy.hcl' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l keys-command -d 'Command that prints the same, run by `sh -c`, for example `sops -d keys.json`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l keys-fd -d 'Open file descriptor to read the same from, for example 3 with `3< <(pass show bao)`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l ask-keys -d 'Ask each key holder in turn at the terminal, without showing what is typed'
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -l json -d 'Print one JSON object per line instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -s q -l quiet -d 'Print failures and the summary only'
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -s v -l verbose -d 'Print each call and detail too'
complete -c baoctl -n "__fish_baoctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l every -d 'Look again after this time, for example 10m; with --max-outage until the outage would be within it' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l max-outage -d 'End with exit code 5 when the outage would be longer than this, for example 60s, or when no proof has measured it yet' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l runbook -d 'Runbook whose outage is told: a built-in name or a file [default: that of a run that waits, else migrate-raft]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -l json -d 'Print one JSON object a look'
complete -c baoctl -n "__fish_baoctl_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and not __fish_seen_subcommand_from inspect verify convert diff help" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and not __fish_seen_subcommand_from inspect verify convert diff help" -f -a "inspect" -d 'Tell what is in a snapshot, after all of it is verified'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and not __fish_seen_subcommand_from inspect verify convert diff help" -f -a "verify" -d 'Check sums, sizes, order and end of a snapshot'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and not __fish_seen_subcommand_from inspect verify convert diff help" -f -a "convert" -d 'Turn the file tree of a stopped or sealed server into a snapshot'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and not __fish_seen_subcommand_from inspect verify convert diff help" -f -a "diff" -d 'Compare two of them entry by entry; exit code 1 when they differ'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and not __fish_seen_subcommand_from inspect verify convert diff help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -l json -d 'Print one JSON object'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from convert" -l out -d 'The snapshot to write; it appears whole or not at all' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from convert" -l graft -d 'Snapshot to take `core/raft/tls` from' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from diff" -l json -d 'Print one JSON object'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Tell what is in a snapshot, after all of it is verified'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Check sums, sizes, order and end of a snapshot'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "convert" -d 'Turn the file tree of a stopped or sealed server into a snapshot'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Compare two of them entry by entry; exit code 1 when they differ'
complete -c baoctl -n "__fish_baoctl_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and not __fish_seen_subcommand_from list show validate schema help" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and not __fish_seen_subcommand_from list show validate schema help" -f -a "list" -d 'List the built-in runbooks'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and not __fish_seen_subcommand_from list show validate schema help" -f -a "show" -d 'Print a built-in runbook, to read or to begin your own with'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and not __fish_seen_subcommand_from list show validate schema help" -f -a "validate" -d 'Check a runbook file; every finding has its line and column'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and not __fish_seen_subcommand_from list show validate schema help" -f -a "schema" -d 'Print the JSON schema of runbooks, for editors'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and not __fish_seen_subcommand_from list show validate schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from validate" -l json -d 'Print one JSON object instead of text'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from validate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the built-in runbooks'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print a built-in runbook, to read or to begin your own with'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from help" -f -a "validate" -d 'Check a runbook file; every finding has its line and column'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON schema of runbooks, for editors'
complete -c baoctl -n "__fish_baoctl_using_subcommand runbook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and not __fish_seen_subcommand_from show break help" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and not __fish_seen_subcommand_from show break help" -f -a "show" -d 'Tell who runs the migration of this target'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and not __fish_seen_subcommand_from show break help" -f -a "break" -d 'Tell how a lock that stands in the way becomes free; it takes none away'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and not __fish_seen_subcommand_from show break help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l platform -d 'Where the server lives; default: kubernetes when a context or a namespace is named, else local' -r -f -a "kubernetes\t'A release on a Kubernetes cluster'
local\t'Real `bao` processes on this machine'"
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l context -d 'Context of the kubeconfig' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -s n -l namespace -d 'Namespace of the release' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l release -d 'Release: as `helm list` names it, else its objects\' label app.kubernetes.io/instance or the StatefulSet\'s name [default: openbao]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l kubeconfig -d 'Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l driver -d 'What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do, and the run waits) [default: helm]' -r -f -a "helm\t''
manifests\t''
manual\t''"
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l chart -d 'With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l values -d 'With --driver helm: values of your own for raft, in place of the generated ones' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l unseal-secret -d 'Secret that the auto-unseal hook reads [default: openbao-unseal]' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l helper-image -d 'Image with sh, tar and sha256sum, where the server\'s own has none' -r
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l work-dir -d 'Folder of the run\'s files, for local also of the servers; default: baoctl-local, for kubernetes `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l journal -d 'Journal to use instead of the target\'s own' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -l force-conflicts -d 'With --driver manifests: take fields of the release\'s objects from the managers that own them'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from break" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from help" -f -a "show" -d 'Tell who runs the migration of this target'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from help" -f -a "break" -d 'Tell how a lock that stands in the way becomes free; it takes none away'
complete -c baoctl -n "__fish_baoctl_using_subcommand lock; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c baoctl -n "__fish_baoctl_using_subcommand man" -l out -d 'Write the pages into this folder' -r -F
complete -c baoctl -n "__fish_baoctl_using_subcommand man" -s h -l help -d 'Print help'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "migrate-raft" -d 'Take a server from one replica on file storage to a three-voter Raft cluster'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "rehearse" -d 'Perform the whole migration for real, on servers of its own on this machine'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "resume" -d 'Go on with a run that failed, was killed or was stopped'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "rollback" -d 'Take back what a run did: the source serves from its old storage again'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "cleanup" -d 'Remove what is left of a run that has ended: the old file tree, raft files aside, copies of the data'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "status" -d 'Tell where a migration stands and what each server says; changes nothing and needs no journal'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "check" -d 'Make the checks that a migration begins with, alone; changes nothing'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "watch" -d 'Watch the live data before the cutover: what changes, what a copy takes, how long the outage would be; changes nothing'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "report" -d 'Print the report of a run as Markdown: what was done, when, and what was compared'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "snapshot" -d 'Inspect, verify, make and compare raft snapshots'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "runbook" -d 'List, show and check runbooks'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "lock" -d 'Tell who holds the lock of a run, and how it becomes free'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "man" -d 'Print the manual page, or write one for each command'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and not __fish_seen_subcommand_from migrate-raft rehearse resume rollback cleanup status check watch report snapshot runbook lock completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "inspect" -d 'Tell what is in a snapshot, after all of it is verified'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "verify" -d 'Check sums, sizes, order and end of a snapshot'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "convert" -d 'Turn the file tree of a stopped or sealed server into a snapshot'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "diff" -d 'Compare two of them entry by entry; exit code 1 when they differ'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from runbook" -f -a "list" -d 'List the built-in runbooks'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from runbook" -f -a "show" -d 'Print a built-in runbook, to read or to begin your own with'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from runbook" -f -a "validate" -d 'Check a runbook file; every finding has its line and column'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from runbook" -f -a "schema" -d 'Print the JSON schema of runbooks, for editors'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from lock" -f -a "show" -d 'Tell who runs the migration of this target'
complete -c baoctl -n "__fish_baoctl_using_subcommand help; and __fish_seen_subcommand_from lock" -f -a "break" -d 'Tell how a lock that stands in the way becomes free; it takes none away'
