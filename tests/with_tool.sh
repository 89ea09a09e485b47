#!/bin/sh
# with_tool.sh TOOL [ARGUMENT...]: runs the tool; 77 says skipped, where it is not installed.
command -v "$1" >/dev/null || { echo "skipped: no $1"; exit 77; }
exec "$@"
