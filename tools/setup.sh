#!/usr/bin/env bash
# Make the virtual environment in .venv and install everything into it; does nothing when nothing has changed.
#
#   tools/setup.sh python    the virtual environment and the package
#   tools/setup.sh display   the virtual X server and the GL/xcb libraries that the viewer tests need (Linux)
#
# Settings (environment): PYTHON, TORCH, TORCHVISION, EXTRAS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TORCH="${TORCH:-torch==2.13.0}"
TORCHVISION="${TORCHVISION:-torchvision==0.28.0}"
EXTRAS="${EXTRAS:-all,dev}"
SAM2="sam2==1.1.0"
VENV=.venv
STAMP="$VENV/.mosam-setup"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

fingerprint() {
  { cat pyproject.toml tools/setup.sh; printf '%s\n' "$TORCH" "$TORCHVISION" "$EXTRAS" "$PWD"; } | cksum
}

# --- system packages -------------------------------------------------------------------------------------------------

install_packages() {  # purpose, package...
  local purpose="$1"; shift
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    die "$purpose missing: install with 'sudo apt-get install -y $*' (or your system's equivalent), then try again."
  fi
  say "$purpose missing: installing $*"
  apt-get update -qq || say "apt-get update failed; trying with the package lists at hand"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    die "apt-get could not install: $*"
}

missing_display_packages() {
  local libraries program library package
  libraries="$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)"
  for program in xvfb-run:xvfb xauth:xauth; do
    command -v "${program%%:*}" >/dev/null || echo "${program##*:}"
  done
  while read -r library package; do
    case "$libraries" in *"$library"*) ;; *) echo "$package" ;; esac
  done <<'LIBRARIES'
libGL.so.1 libgl1
libEGL.so.1 libegl1
libOpenGL.so.0 libopengl0
libglib-2.0.so.0 libglib2.0-0
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libX11-xcb.so.1 libx11-xcb1
libxkbcommon.so.0 libxkbcommon0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xinerama.so.0 libxcb-xinerama0
libxcb-xkb.so.1 libxcb-xkb1
LIBRARIES
  compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null || compgen -G '/usr/lib*/dri/swrast_dri.so' >/dev/null ||
    compgen -G '/usr/lib/*/libgallium-*.so' >/dev/null || echo libgl1-mesa-dri
}

setup_display() {
  [ "$(uname -s)" = Linux ] || return 0
  local packages
  packages="$(missing_display_packages | sort -u | tr '\n' ' ')"
  # shellcheck disable=SC2086  # a list of names, meant to be split
  [ -z "$packages" ] || install_packages "parts of the display for the viewer tests are" $packages
}

# --- Python ----------------------------------------------------------------------------------------------------------

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if command -v "$candidate" >/dev/null && is_supported "$candidate"; then echo "$candidate"; return; fi
  done
  die "no Python 3.11, 3.12 or 3.13 found (looked for: ${PYTHON:-python3, python3.13, python3.12, python3.11});" \
    "install one or name it: make PYTHON=/path/to/python3.12"
}

make_venv() {
  local python
  if [ -x "$VENV/bin/python" ] && is_supported "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1
  then return; fi
  python="$(find_python)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    install_packages "Python's venv module is" "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  say "making $VENV with $("$python" --version)"
  "$python" -m venv --clear "$VENV"
}

# sam2 imports torch in its build script, so torch comes first and build isolation stays off: with it, pip would fetch
# a second torch only for the build. No CUDA extension: it needs a compiler and only fills holes.
install_python() {
  local pip=("$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --quiet)
  say "installing $TORCH and $TORCHVISION"
  "${pip[@]}" "$TORCH" "$TORCHVISION" 'setuptools>=77,<81' wheel
  say "installing $SAM2"
  SAM2_BUILD_CUDA=0 "${pip[@]}" --no-build-isolation "$SAM2"
  say "installing napari-mosam[$EXTRAS]"
  "${pip[@]}" --no-build-isolation --constraint <(printf '%s\n' "$TORCH" "$TORCHVISION") -e ".[$EXTRAS]"
}

setup_python() {
  local wanted
  wanted="$(fingerprint)"
  if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then return; fi
  make_venv
  rm -f "$STAMP"
  install_python || die "installation failed (see above); run the same command again to continue where it stopped."
  echo "$wanted" >"$STAMP"
}

case "${1:-}" in
  python) setup_python ;;
  display) setup_display ;;
  *) die "usage: tools/setup.sh python|display" ;;
esac
