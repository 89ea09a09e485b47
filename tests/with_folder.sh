#!/bin/sh
# with_folder.sh VARIABLE PROGRAM [ARGUMENT...]: runs the program on the folder that the variable names; 77 says skipped.
variable=$1
shift
eval "folder=\${$variable:-}"
if [ -z "$folder" ]; then
  echo "skipped: $variable names no folder"
  exit 77
fi
exec "$@" "$folder"
