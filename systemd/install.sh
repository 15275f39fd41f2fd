#!/bin/sh
# Installs Wattpact from this checkout on Debian 12 or 13 (amd64, arm64; also 64-bit Raspberry Pi OS), or removes it again.
#
#   sudo sh systemd/install.sh              program to /opt/wattpact, units, users, folders; starts nothing
#   sudo sh systemd/install.sh --remove     takes all that away; /etc/wattpact and /var/lib/wattpact-* stay
#
# DESTDIR=/some/folder stages the files there instead (for packages and images); nothing of this machine changes then.
set -eu

DESTDIR=${DESTDIR:-}
source=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
program=$DESTDIR/opt/wattpact
units=$DESTDIR/etc/systemd/system
command=$DESTDIR/usr/local/bin/wattpact

fail() {
  echo "install.sh: $1" >&2
  exit 3
}

here() { [ -z "$DESTDIR" ]; }

reload() {
  if here && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

if here && [ "$(id -u)" -ne 0 ]; then fail "must run as root: sudo sh systemd/install.sh"; fi

case "${1:-}" in
  '') ;;
  --remove)
    if here && [ -d /run/systemd/system ]; then
      systemctl disable --now wattpact-gateway.service wattpact-validator.service 2>/dev/null || true
    fi
    rm -f "$units/wattpact-gateway.service" "$units/wattpact-validator.service" "$command" \
      "$DESTDIR/usr/lib/sysusers.d/wattpact.conf" "$DESTDIR/usr/lib/tmpfiles.d/wattpact.conf"
    rm -rf "$program"
    reload
    echo "Removed. Settings and data are still in /etc/wattpact and /var/lib/wattpact-*."
    exit 0
    ;;
  *) fail "unknown argument $1. Usage: install.sh [--remove]" ;;
esac

case $(uname -m) in
  x86_64 | aarch64) ;;
  *) fail "$(uname -m) is not supported: a 64-bit system on amd64 or arm64 is needed." ;;
esac
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-} ${VERSION_ID:-0}")
case $release in
  *debian*12* | *debian*13*) ;;
  *) echo "install.sh: made for Debian 12 and 13; this is '$release'. Going on." >&2 ;;
esac
command -v npm >/dev/null || fail "npm is missing. Install it: apt install npm"

# Everything is made ready beside the old program and then put in its place, so that a failed download changes nothing.
rm -rf "$program.new"
mkdir -p "$program.new"
trap 'rm -rf "$program.new"' EXIT
for part in package.json package-lock.json .npmrc LICENSE README.md CHANGELOG.md src profiles devices docs systemd; do
  if [ -e "$source/$part" ]; then cp -R "$source/$part" "$program.new/"; fi
done
(cd "$program.new" && npm ci --omit=dev --no-audit --no-fund --loglevel=error)
chmod -R go-w,a+rX "$program.new"
if here; then chown -R root:root "$program.new"; fi
rm -rf "$program.old"
if [ -e "$program" ]; then mv "$program" "$program.old"; fi
mv "$program.new" "$program"
rm -rf "$program.old"

install -d "$units" "$DESTDIR/usr/lib/sysusers.d" "$DESTDIR/usr/lib/tmpfiles.d" "$DESTDIR/usr/local/bin"
install -m 644 "$program/systemd/wattpact-gateway.service" "$program/systemd/wattpact-validator.service" "$units/"
install -m 644 "$program/systemd/sysusers.conf" "$DESTDIR/usr/lib/sysusers.d/wattpact.conf"
install -m 644 "$program/systemd/tmpfiles.conf" "$DESTDIR/usr/lib/tmpfiles.d/wattpact.conf"
ln -sf /opt/wattpact/systemd/wattpact "$command"
if here; then
  systemd-sysusers wattpact.conf
  systemd-tmpfiles --create wattpact.conf
fi
reload

cat <<TEXT
Installed. Next, for a gateway:
  1. write /etc/wattpact/site.yaml (examples: /opt/wattpact/devices), with its key and data below /var/lib/wattpact-gateway;
     check it: wattpact site check /etc/wattpact/site.yaml
  2. systemctl enable --now wattpact-gateway
For a validator:
  1. genesis to /etc/wattpact/genesis.json; key and vote log to /var/lib/wattpact-validator (validator.pem, votes.sqlite),
     owned by wattpact-validator, mode 0600
  2. /etc/wattpact/validator.env: VALIDATOR_OPTIONS=--id validator-1 --listen 0.0.0.0:1883
  3. systemctl enable --now wattpact-validator
An update is this script again, then systemctl restart of the service.
TEXT
