# $1: the data folder, $2: the file in it. Exit code 44: it is not there.
file=$1/$2
if [ -e "$file" ]; then
    cat "$file"
    exit
fi
folder=${file%/*}
while [ ! -e "$folder" ]; do folder=${folder%/*}; done
if [ ! -x "$folder" ]; then
    echo "$folder cannot be read as user $(id -u)" >&2
    exit 1
fi
exit 44
