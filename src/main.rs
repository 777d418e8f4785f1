//! The daemon: `consentinel sentinel.conf`.

fn main() -> std::process::ExitCode {
    consentinel::main()
}
