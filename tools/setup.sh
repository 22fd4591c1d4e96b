# Sourced by ./quickstart and ./test: installs what is missing and configures the build.
# Debian and what descends from it get their packages by apt-get; others get a list of names.

export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

case $(uname -m) in
  aarch64 | arm64) machine=aarch64 qemu_package=qemu-system-arm kernel_meta=linux-image-arm64 ;;
  *) machine=x86_64 qemu_package=qemu-system-x86 kernel_meta=linux-image-amd64 ;;
esac

build_packages="g++ binutils meson ninja-build pkg-config ccache python3 libboost-dev libfmt-dev
  nlohmann-json3-dev libseccomp-dev libssl-dev $qemu_package qemu-system-common busybox-static"
test_packages="catch2 clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev
  squashfs-tools erofs-utils e2fsprogs
  pybind11-dev python3-dev python3-mesonpy python3-venv python3-pytest python3-uvloop mypy python3-sphinx"

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Runs a command as root.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo --preserve-env=DEBIAN_FRONTEND "$@"
  else
    die "please run as root, there is no sudo here: $*"
  fi
}

apt() { as_root apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >/dev/null; }

# The words that name packages which are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
      installed) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

# Installs those of the named packages that are missing.
install_packages() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || {
    name_packages
    return
  }
  local missing
  missing=$(missing_packages "$@")
  # The guest's kernel is downloaded by its newest version, so apt must know of one that is still
  # there.
  if [ -n "$missing" ] || ! kernel_package_cached; then
    if lists_are_old || ! package_lists_known $missing; then
      say "Updating apt's package lists"
      apt update
    fi
  fi
  [ -n "$missing" ] || return 0
  say "Installing: $missing"
  # A list from yesterday can name files that are gone: fetch new lists and try once more.
  apt install -y --no-install-recommends $missing || {
    apt update
    apt install -y --no-install-recommends $missing
  } || die "apt-get could not install: $missing"
}

lists_are_old() { [ -z "$(find /var/lib/apt/lists -maxdepth 0 -mtime -1 2>/dev/null)" ]; }

kernel_package_cached() {
  set -- "${XDG_CACHE_HOME:-$HOME/.cache}"/vmette/packages/linux-image-*.deb
  [ -f "$1" ]
}

package_lists_known() {
  local package
  for package in "$kernel_meta" "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || return 1
  done
}

# Those of the named packages that this distribution has.
packaged() {
  local package
  for package in "$@"; do
    if ! command -v apt-cache >/dev/null || apt-cache show "$package" >/dev/null 2>&1; then
      printf '%s ' "$package"
    fi
  done
}

name_packages() {
  command -v meson >/dev/null && command -v ninja >/dev/null && return
  cat >&2 <<'END'
This system has no apt-get. Please install these and start again:
  Fedora:   meson ninja-build gcc-c++ glibc-static libstdc++-static pkgconf-pkg-config python3 boost-devel
            fmt-devel json-devel libseccomp-devel openssl-devel catch-devel squashfs-tools erofs-utils e2fsprogs busybox
            dpkg qemu-system-x86-core pybind11-devel python3-devel python3-meson-python python3-pytest python3-uvloop
            python3-mypy python3-sphinx
  Arch:     meson ninja gcc pkgconf python boost fmt nlohmann-json libseccomp openssl catch2 squashfs-tools
            erofs-utils e2fsprogs busybox dpkg qemu-system-x86 pybind11 meson-python python-pytest python-uvloop mypy
            python-sphinx
  Homebrew: meson ninja pkgconf python boost fmt nlohmann-json openssl catch2 qemu pybind11 mypy sphinx-doc
The guest's kernel comes from a Debian package; give its file with -Dkernel_package=FILE.deb
(docs/guest-assets.md), or build without the guest's boot files with -Dguest=false.
END
  exit 1
}

# configure DIR [OPTION...]: sets up a build directory. In one that is there it changes only those
# options that have another value: a change means compiling again.
configure() {
  local dir=$1 option
  shift
  if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$@"
    return
  fi
  for option in "$@"; do
    has_option "$dir" "$option" || meson configure "$dir" "$option"
  done
}

# has_option DIR -DNAME=VALUE
has_option() {
  python3 - "$1/meson-info/intro-buildoptions.json" "${2#-D}" <<'END'
import json, sys
name, value = sys.argv[2].split("=", 1)
found = {option["name"]: option["value"] for option in json.load(open(sys.argv[1]))}.get(name)
sys.exit({True: "true", False: "false"}.get(found, str(found)) != value)
END
}
