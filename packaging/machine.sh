# Sourced: makes the image of the machine that the tests use, where it is missing or has changed.

machine() {
    bash compose/base.sh debian
    docker build -q -t consentinel-test-machine - <packaging/deb/machine.Dockerfile >/dev/null ||
        fail "the image of the test machine cannot be made: docker build - <packaging/deb/machine.Dockerfile"
}
