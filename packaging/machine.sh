# Sourced: makes the image of the machine that the tests use, where it is missing or has changed.

machine() {
    bash compose/base.sh debian
    local said
    said=$(docker build -t consentinel-test-machine - <packaging/deb/machine.Dockerfile 2>&1) ||
        { tail -n 20 <<<"$said" >&2; fail "the image of the machine for the tests cannot be made"; }
}
