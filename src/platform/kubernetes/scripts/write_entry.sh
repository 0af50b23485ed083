# After synced.sh. $1: the data folder, $2: the file in it, $3: the length of what comes on the standard input.
set -eu
umask 077
data=$1
file=$1/$2
mkdir -p "${file%/*}"
head -c "$3" > "$file.temp"
if [ "$(wc -c < "$file.temp")" -ne "$3" ]; then
    rm -f "$file.temp"
    echo "the input was cut" >&2
    exit 1
fi
owned "${file%/*}" "$file.temp"
synced "$file.temp"
mv -f "$file.temp" "$file"
synced "$file"
