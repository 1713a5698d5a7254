# shellcheck shell=sh
# The environment of gmemsim: find a Python, make .venv beside this tree, repair it, reuse it.
# Sourced by quickstart and check, which set ROOT first; `ensure_venv run|dev` then sets VENV.
# A second call costs one start of Python: .venv holds a stamp of what was installed into it.

# A PYTHONPATH of the caller's could put another `cluster` before ours.
unset PYTHONPATH PYTHONHOME
# Every start of Python would compile all sources anew: that is half of the time of many commands.
unset PYTHONDONTWRITEBYTECODE

say() { printf 'gmemsim: %s\n' "$*" >&2; }

# Whatever ends the set-up is the machine's or the caller's to put right: exit 2.
die() {
    say "$*"
    exit 2
}

# Prints the version; inside an environment also the Python it was made from, because an
# environment must not be rebuilt with itself.
PROBE='import sys
base = "" if sys.prefix == sys.base_prefix else getattr(sys, "_base_executable", "")
print("%d.%d.%d" % sys.version_info[:3], base)'

supported() { # VERSION
    case $1 in
    '' | *[!0-9.]*) return 1 ;;
    esac
    major=${1%%.*}
    rest=${1#*.}
    minor=${rest%%.*}
    [ "$major" -eq 3 ] && [ "${minor:-0}" -ge 11 ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# Installs Debian packages, or fails without a word where that is not possible.
debian_install() { # PACKAGE...
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root true || return 1
    say "installing $* with apt-get"
    # A mirror that cannot be refreshed may still have the package.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# Sets PYTHON to the first supported Python that can make environments. Otherwise FOUND lists
# every Python met, and LACKING names the first supported one that has no ensurepip.
look_for_python() {
    PYTHON='' FOUND='' LACKING=''
    for name in python3 python3.13 python3.12 python3.11; do
        command -v "$name" >/dev/null 2>&1 || continue
        # A pyenv shim for a version that is not chosen is on PATH, but does not run.
        answer=$("$name" -c "$PROBE" 2>/dev/null) || continue
        version=${answer%% *}
        FOUND="$FOUND${FOUND:+, }$name is $version"
        supported "$version" || continue
        candidate=$name
        case $answer in
        *' /'*) candidate=${answer#* } ;;
        esac
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            PYTHON=$candidate
            return 0
        fi
        LACKING=${LACKING:-$name}
    done
    return 1
}

find_python() {
    look_for_python && return 0
    if [ -n "$LACKING" ]; then
        package=$LACKING-venv
        debian_install "$package" && look_for_python && return 0
        die "$LACKING cannot make virtual environments (no ensurepip): install $package"
    fi
    if [ -z "$FOUND" ]; then
        debian_install python3 python3-venv && look_for_python && return 0
        FOUND=${FOUND:-no Python 3 on PATH}
    fi
    die "found: $FOUND; needed: Python 3.11 or newer with its venv module"
}

# What .venv must hold to be good as it is. Fails where its Python does not run.
fingerprint() {
    version=$("$VENV/bin/python" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null) ||
        return 1
    sum=$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum) || return 1
    printf '%s python %s in %s\n' "$sum" "$version" "$ROOT"
}

# True where the stamp of the wanted kind, or of the larger one, is that of today.
stamped() { # KIND
    [ ! -e "$VENV/gmemsim.unfinished" ] && [ -x "$VENV/bin/gmemsim" ] || return 1
    want=$(fingerprint) || return 1
    for kind in "$1" dev; do
        if [ -f "$VENV/gmemsim.$kind" ] && [ "$(cat "$VENV/gmemsim.$kind")" = "$want" ]; then
            return 0
        fi
    done
    return 1
}

# True where .venv can be installed into: finished, in its place, with a Python and a pip that run.
sound() {
    [ ! -e "$VENV/gmemsim.unfinished" ] || return 1
    for kind in run dev; do
        if [ -f "$VENV/gmemsim.$kind" ]; then
            case $(cat "$VENV/gmemsim.$kind") in
            *" in $ROOT") ;;
            *) return 1 ;; # moved: its scripts name the old place
            esac
        fi
    done
    "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

ensure_venv() { # KIND: run, or dev for the tools of `check` too
    VENV=$ROOT/.venv
    stamped "$1" && return 0
    if ! sound; then
        find_python
        say "making $VENV with $PYTHON"
        "$PYTHON" -m venv --clear "$VENV" >&2 || die "$PYTHON could not make $VENV"
    fi
    extra=''
    [ "$1" = run ] || extra="[$1]"
    say "installing into $VENV (the first time takes a minute or two)"
    # Until the stamp is written this mark says that the install may be cut short.
    rm -f "$VENV/gmemsim.run" "$VENV/gmemsim.dev"
    : >"$VENV/gmemsim.unfinished"
    (
        cd "$ROOT" && "$VENV/bin/python" -m pip --disable-pip-version-check --no-input \
            install --quiet --constraint constraints.txt --editable ".$extra" >&2
    ) || die "pip could not install gmemsim; its message is above"
    fingerprint >"$VENV/gmemsim.$1"
    rm -f "$VENV/gmemsim.unfinished"
}
