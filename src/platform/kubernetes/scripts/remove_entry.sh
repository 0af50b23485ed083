# After synced.sh. $1: the data folder, $2: the file in it. What a write of it that was cut off left goes too.
set -eu
data=$1
file=$1/$2
rm -f "$file" "$file.temp"
if [ -d "$data" ]; then synced "$data"; fi
