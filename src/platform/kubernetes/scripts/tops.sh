# Sets the arguments to what belongs to the file tree at its top. $1: the data folder, which becomes the current one.
cd "$1" || exit 1
set --
for it in * .[!.]* ..?*; do
    case $it in
    vault.db | raft | lost+found | raft-aside-* | .baoctl*) continue ;;
    esac
    if [ -e "$it" ] || [ -L "$it" ]; then set -- "$@" "./$it"; fi
done
