# After store.sh, in place of link_tree.sh: what is left to `bao` is a copy without the tombstone. $folder: what is made in it,
# $config.
cd "$1"
umask 077
rm -rf .baoctl-migrate
mkdir -p "$folder/store"
copy_store . "$folder/source"
printf '%s' "$config" > "$folder/config.hcl"
