# What stands on a volume. $1: the data folder.
for it in "$1" "$1/core"; do
    if [ -d "$it" ] && ! { [ -r "$it" ] && [ -x "$it" ]; }; then
        echo "$it cannot be read as user $(id -u)" >&2
        exit 1
    fi
done
for it in vault.db raft; do
    if [ -e "$1/$it" ] || [ -L "$1/$it" ]; then echo raft; fi
done
for it in "$1"/raft-aside-*; do
    if [ -d "$it" ]; then printf 'aside %s\n' "${it##*/}"; fi
done
for it in "$1"/core/_*; do
    [ -e "$it" ] || continue
    case ${it##*/} in
    _lock | _migration) ;;
    *) echo tree; break ;;
    esac
done
for it in "$1"/MANIFEST-[0-9]*; do
    if [ -f "$it" ]; then echo store; break; fi
done
place=$1
while [ ! -e "$place" ]; do place=$(dirname "$place"); done
room=$(df -Pk "$place") || exit 1
printf 'room %s\n' "$(printf '%s\n' "$room" | tail -n 1)"
