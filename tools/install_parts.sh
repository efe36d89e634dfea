#!/usr/bin/env bash
# Installs nginx, HAProxy and Chromium from Debian or Ubuntu, if one is missing.
# --if-possible: where that needs a password, or is another system, name them and end with status 0.
set -euo pipefail

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v haproxy >/dev/null || missing+=(haproxy)
# Ubuntu has Chromium as a snap only, which apt-get does not give; another browser will do.
command -v chromium chromium-browser google-chrome >/dev/null || missing+=(chromium)
((${#missing[@]})) || exit 0

give_up() {
    echo "$1 What needs ${missing[*]} is left out." >&2
    [[ ${optional:-} ]] && exit 0
    exit 2
}

[[ ${1:-} == --if-possible ]] && optional=yes
if ! command -v apt-get >/dev/null; then
    give_up "This is neither Debian nor Ubuntu: install nginx, HAProxy and Chromium as your system does."
fi
sudo=()
if [[ $(id -u) != 0 ]]; then
    # `make parts` may ask for a password; the two commands that only wish for them may not.
    if [[ ${optional:-} ]] && ! sudo -n true 2>/dev/null; then
        give_up "To install ${missing[*]}, run: make parts (it asks for your password)."
    fi
    sudo=(sudo)
fi
echo "Installing ${missing[*]} with apt-get (PARTS=no does without) …"
install() {
    "${sudo[@]}" apt-get update -qq &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
install >/dev/null 2>&1 || give_up "apt-get could not install ${missing[*]}."
