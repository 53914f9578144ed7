# Sourced by ./quickstart and ./check. Installs the Debian packages that the build needs, when one is
# missing and only then; asks nothing. Nothing else is ever downloaded.
# shellcheck shell=bash

TT_PACKAGES=(g++ cmake ninja-build pkg-config libhwy-dev nlohmann-json3-dev libcli11-dev libpng-dev
             libjpeg-dev libwebp-dev libutf8proc-dev libsqlite3-dev libgtest-dev)

now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  echo $((now / 1000))
}

# "12.3 s" or "4 min 05 s" since a now_ms.
elapsed_since() {
  local ms=$(($(now_ms) - $1))
  if ((ms < 60000)); then
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
  else
    printf '%d min %02d s' $((ms / 60000)) $((ms % 60000 / 1000))
  fi
}

missing_packages() {
  local package
  for package in "${TT_PACKAGES[@]}"; do
    if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
      echo "$package"
    fi
  done
}

apt_install() {
  local -a as_root=()
  if [[ $(id -u) != 0 ]]; then
    if ! sudo -n true 2>/dev/null; then
      echo "These packages are missing and only the superuser can install them:" >&2
      echo "  sudo apt-get install $*" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  local -a apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o
                Dpkg::Use-Pty=0)
  echo "Installing $*"
  # The package lists of a fresh machine are empty, those of an old one out of date.
  if ! "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null 2>&1; then
    "${apt[@]}" update </dev/null
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null
  fi
}

bootstrap() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is no Debian system: nothing is installed here. The build needs what Debian calls" >&2
    echo "  ${TT_PACKAGES[*]}" >&2
    command -v cmake >/dev/null && command -v ninja >/dev/null && return 0
    return 1
  fi
  local -a missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} > 0)); then apt_install "${missing[@]}"; fi
}
