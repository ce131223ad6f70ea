#!/bin/sh
# Installs what a node needs from Debian: a container runtime, an image builder, network tools. Needs root.
set -eu
for program in containerd runc buildah debootstrap nft ip nsenter openssl; do
    command -v "$program" >/dev/null || missing=1
done
[ -x /usr/lib/cni/bridge ] || missing=1
[ "${missing:-}" ] || exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
exec apt-get install -y -qq --no-install-recommends \
    buildah ca-certificates containerd containernetworking-plugins debootstrap iproute2 nftables openssl runc util-linux
