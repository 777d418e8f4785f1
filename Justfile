# Every habit of the project. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# Says what is missing, and how to have it.
_rust:
    @bash tests/rust.sh

# Install what the tests need: three releases of Redis and Valkey, redis-py, dig, ss, Consul.
deps:
    bash tests/deps.sh

# Three Redis servers, three daemons, Consul, and a failover to look at. `just demo --auto` presses the keys itself;
# `just demo --help` tells the rest.
# A failover to look at: a master dies on a key, and DNS names the next one.
demo *args:
    @bash tests/demo.sh {{args}}

# The images are made from Debian's packages where they are missing, and the programs are built here: no registry is needed.
# `docker compose up` in compose/ does the same where there is one. `just compose down` takes it away, with its volumes.
# Three Consul servers, three Redis servers, three daemons and two applications in containers; status page and DNS on localhost.
compose what='up':
    @bash compose/compose.sh {{what}}

# The container image `consentinel:slim`: a static program and nothing else. `--program FILE` takes one that was built already.
image *args:
    bash packaging/image/build.sh {{args}}

# The image on a real engine: found by its peers, healthy, over TLS to a Consul, made anew. Makes it when it is missing.
image-test *image:
    bash packaging/image/test.sh {{image}}

# The Debian package, target/debian/consentinel_*.deb, around target/release/consentinel.
deb *args: build
    bash packaging/deb/build.sh {{args}}

# The package on a machine with systemd, in a container: installed, adopted, upgraded under load, hung, given back, purged.
packages-test *program:
    bash packaging/deb/test.sh {{program}}

# What is given to others: the static program, built twice with one result, symbols, bill of materials, licences, checksums. Takes long.
dist *folder:
    bash packaging/dist.sh {{folder}}

# The crates that others build on, as they would be uploaded: built, with their oldest dependencies and compiler; `just crates REVISION`
# compares their interface, too.
crates *revision: _rust
    bash packaging/crates.sh {{revision}}

# Break the containers in three ways and count what is lost; CI runs this. All ways: `just compose-drill all`, one: `just compose-drill leader`,
# redis-sentinel in our place: `just compose-drill classic`.
# Break a set-up in containers, and see whether what is promised holds.
compose-drill *what='--short':
    bash compose/check.sh
    bash compose/base.sh {{ if what == "metrics" { "metrics" } else { "" } }}
    bash compose/drill.sh {{ if what == "all" { "" } else { what } }}

# The daemon, ready to run: target/release/consentinel
build: _rust
    cargo build --release --bin consentinel

# What containers, image and package run is built beside what needs no such build, and without the minutes of a release's last step.
# All that a change must pass; CI runs exactly this.
test: _rust
    #!/usr/bin/env bash
    set -euo pipefail
    export STATIC_PROFILE=demo
    mkdir -p target
    setsid just programs >target/programs.log 2>&1 &
    programs=$!
    trap 'kill -- -$programs 2>/dev/null || true' EXIT
    just lint unit scenarios
    wait $programs || { cat target/programs.log; exit 1; }
    trap - EXIT
    for step in sim-share mutations e2e compose-drill image image-test; do just $step; done
    just packages-test "$(just programs)/consentinel"

# What goes into containers and packages: static programs. Prints their folder.
programs:
    @bash packaging/programs.sh

# Formatting, clippy and the documentation, with nothing to complain about.
lint: _rust
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --workspace --all-targets --features consentinel-sim/mutations -- -D warnings
    cargo clippy -p consentinel-resolver --all-targets -- -D warnings
    cargo clippy -p consentinel-resolver --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    RUSTDOCFLAGS="-D warnings" cargo doc -p consentinel-resolver --all-features --no-deps --quiet

# Unit tests, and the examples in the documentation.
unit:
    cargo test --workspace --lib --bins --quiet
    cargo test -p consentinel-core -p consentinel-sim --tests --quiet
    cargo test -p consentinel-resolver --all-features --tests --examples --quiet
    cargo test --workspace --doc --quiet
    cargo test -p consentinel-resolver --all-features --doc --quiet

# The simulator: 10,000 seeds of 10 virtual minutes. `just sim --seed N --trace` tells one of them as a story.
sim *args='--seeds 10000':
    cargo run --release --quiet -p consentinel-sim -- {{args}}

# The share of the simulator's seeds that CI has time for; `just unit` has lived 300 shorter ones. Not a release: the simulator is
# optimised in every build, and the last step of a release takes longer than these seeds.
sim-share:
    cargo run --quiet -p consentinel-sim -- --seeds 1000

# Deliberate defects of the core, each of which the simulator must notice.
mutations:
    cargo test --quiet -p consentinel-sim --features mutations --test mutations

# The stories in tests/scenarios, told again and compared; and the boundaries between the rooms.
scenarios:
    cargo test --quiet --test scenarios --test house

# Write the stories anew after a change that is meant. Read the difference before you commit it.
scenarios-update:
    UPDATE_SCENARIOS=1 cargo test --quiet --test scenarios

# Real daemons, real Redis servers, real disasters. A test's name as argument runs it alone. Its files live in memory,
# where no other work on the disk delays them.
e2e *args:
    [ ! -w /dev/shm ] || export TMPDIR=/dev/shm; cargo test --test e2e -- --test-threads=2 {{args}}

# Beside the real redis-sentinel in one run: how long a failover takes (`just bench --rounds 5`), and what requests and a
# thousand masters cost (`just bench --table load`; it starts a thousand servers, 4 GB; `--masters 200` for fewer). Many masters
# that die at once, and what Consul pays: `just bench --table mass`, `--masters 1000`, `--down-after 10`. Two faults
# at once: `just bench --table faults --rounds 3`, of which `--fault leader` and so on plays one. CONSENTINEL=path measures
# another build of ours.
bench *args:
    cargo bench --bench failover -- {{args}}

# What a look-up of the resolver costs, beside plain hickory and redis-rs's sentinel client.
bench-resolver *args:
    cargo bench --bench resolver -- {{args}}

# `consentinel proxy` beside haproxy in one run.
bench-proxy *args:
    cargo bench --bench proxy -- {{args}}

# What is found is written to tests/fuzz/artifacts. Keep it, once it is mended, in tests/fuzz/corpus: every run of the unit tests
# goes through that.
# Look for bytes that break what must hold for any: every target for a minute, or `just fuzz commands 600`.
fuzz target='all' seconds='60':
    command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
    bash tests/fuzz/run.sh {{target}} {{seconds}}

# Licences, sources and advisories of the dependencies; needs cargo-deny.
deny:
    cargo deny check
