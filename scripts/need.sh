#!/usr/bin/env bash
# need.sh PACKAGE...: install the Debian packages that are missing. A package that
# is a program is there when the program is (PostgreSQL's lie off the PATH); fonts and
# plugins are looked for on Debian only, and some have another name than their
# program, or lie where only root looks.
set -euo pipefail

present() {
  case $1 in
    fonts-* | gstreamer1.0-*) ! command -v apt-get >/dev/null || dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
    postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null ;;
    iproute2) command -v ip >/dev/null ;;
    nginx) [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null ;;
    libc6-dev) [ -e /usr/include/stdio.h ] ;;
    varnish) [ -x /usr/sbin/varnishd ] || command -v varnishd >/dev/null ;;
    qemu-user-static) command -v qemu-aarch64-static >/dev/null ;;
    gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc >/dev/null ;;
    libc6-dev-arm64-cross) [ -e /usr/aarch64-linux-gnu/include/stdio.h ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing=()
for package in "$@"; do
  present "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing: ${missing[*]}. There is no apt-get here: install them in your system's way, then run this again." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "Missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@"
}
echo "Installing ${missing[*]} ..."
# The lists may be absent or old: then the first try fails, and one update helps.
apt install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
  apt update
  apt install -y --no-install-recommends "${missing[@]}" >/dev/null
}
