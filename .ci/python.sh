# To be sourced, at the root: the virtual environments the checks run in.
# shellcheck shell=bash

python3 -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'

# venv NAME REQUIREMENTS: .ci/venv/NAME, with what the file says and nothing else. Made again when the file has changed.
venv() {
    local directory=".ci/venv/$1" requirements=$2
    if ! cmp -s "$requirements" "$directory/requirements.txt"; then
        rm -rf "$directory"
        python3 -m venv "$directory"
        "$directory/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
        "$directory/bin/pip" check --quiet
        cp "$requirements" "$directory/requirements.txt"
    fi
}
