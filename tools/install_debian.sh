#!/bin/sh
# Installs the Debian packages named, where it may; what stays missing, the tests name and skip.
set -eu
missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not installed, and not root on a Debian:$missing" >&2
    exit 0
fi
apt-get update -qq
# shellcheck disable=SC2086 -- a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
