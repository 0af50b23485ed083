# After synced.sh. $1: the data folder, $2: the label.
set -eu
data=$1
[ -d "$1" ] || exit 0
cd "$1"
pending=
for it in vault.db raft; do
    if [ -e "$it" ] || [ -L "$it" ]; then pending="$pending $it"; fi
done
[ -n "$pending" ] || exit 0
number=1
while :; do
    folder=raft-aside-$2
    if [ $number -gt 1 ]; then folder=$folder.$number; fi
    taken=
    for it in $pending; do
        if [ -e "$folder/$it" ] || [ -L "$folder/$it" ]; then taken=yes; fi
    done
    [ -n "$taken" ] || break
    number=$((number + 1))
done
umask 077
mkdir -p "$folder"
owned "$folder"
for it in $pending; do mv "$it" "$folder/$it"; done
synced .
