# After synced.sh. $1: the data folder, $2: the file in it.
set -eu
data=$1
file=$1/$2
rm -f "$file"
if [ -d "$data" ]; then synced "$data"; fi
