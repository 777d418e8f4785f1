use super::*;
use crate::config::TlsProtocol;
use consentinel_lab::{Authority, Certificate, Folder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Settings with TLS in both directions.
fn settings(authority: &Authority, own: &Certificate) -> TlsSettings {
    TlsSettings {
        port: 1,
        replication: true,
        cert_file: Some(own.cert.clone()),
        key_file: Some(own.key.clone()),
        ca_cert_file: Some(authority.ca()),
        ..TlsSettings::default()
    }
}

/// What comes of a handshake and a word each way: what the client says of it, and what the server says.
async fn meet(client: &Tls, server: &Tls) -> (Result<(), String>, Result<(), String>) {
    let (near, far) = tokio::io::duplex(4096);
    let why = |error: std::io::Error| explain(&error).unwrap_or_else(|| error.to_string());
    let ask = async {
        let mut stream = client.connect(IpAddr::from([127, 0, 0, 1]), near).await?;
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut [0; 4]).await.map(|_| ())
    };
    let answer = async {
        let mut stream = server.accept(far).await?;
        stream.read_exact(&mut [0; 4]).await?;
        stream.write_all(b"pong").await?;
        stream.flush().await
    };
    let (asked, answered) = tokio::join!(ask, answer);
    (asked.map_err(why), answered.map_err(why))
}

fn load(settings: &TlsSettings) -> Tls {
    Tls::load(settings).unwrap_or_else(|error| panic!("the certificates are good: {error}"))
}

fn refused(settings: &TlsSettings) -> String {
    match Tls::load(settings) {
        Ok(_) => panic!("that should be refused"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn whoever_has_a_certificate_of_the_same_authority_is_believed() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let (one, two) = (authority.issue("one"), authority.issue("two"));
    let met = meet(&load(&settings(&authority, &one)), &load(&settings(&authority, &two))).await;
    assert_eq!(met, (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_stranger_is_not_and_hears_why() {
    let folder = Folder::new();
    let (house, street) = (Authority::new(&folder, "house"), Authority::new(&folder, "street"));
    let ours = load(&settings(&house, &house.issue("one")));
    let theirs = load(&settings(&street, &street.issue("two")));
    let (asked, answered) = meet(&ours, &theirs).await;
    assert!(asked.is_err_and(|why| why.contains("an authority that is not among those of tls-ca-cert-file")));
    assert!(answered.is_err_and(|why| why.contains("alert UnknownCA")));
}

#[tokio::test]
async fn an_expired_certificate_is_called_so() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let ours = load(&settings(&authority, &authority.issue("one")));
    let old = load(&settings(&authority, &authority.issue_expired("old")));
    assert_eq!(meet(&ours, &old).await.0, Err("its certificate has expired".into()));
    let (_, answered) = meet(&old, &ours).await;
    assert_eq!(answered, Err("its certificate has expired".into()));
}

#[tokio::test]
async fn a_certificate_may_be_its_own_authority() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let own = Certificate::self_signed(&folder, "own");
    let tls = load(&TlsSettings { ca_cert_file: Some(own.cert.clone()), ..settings(&authority, &own) });
    assert_eq!(meet(&tls, &tls).await, (Ok(()), Ok(())));
    let other = load(&settings(&authority, &own));
    assert!(meet(&other, &other).await.0.is_err(), "nobody said that it is to be believed");
}

#[tokio::test]
async fn clients_may_be_asked_for_nothing() {
    let folder = Folder::new();
    let (house, street) = (Authority::new(&folder, "house"), Authority::new(&folder, "street"));
    let own = house.issue("one");
    let stranger =
        load(&TlsSettings { ca_cert_file: Some(house.ca()), ..settings(&house, &street.issue("two")) });
    let server = |auth_clients| load(&TlsSettings { auth_clients, ..settings(&house, &own) });
    assert!(meet(&stranger, &server(AuthClients::Required)).await.1.is_err());
    assert!(meet(&stranger, &server(AuthClients::Optional)).await.1.is_err(), "a bad one is worse than none");
    assert_eq!(meet(&stranger, &server(AuthClients::No)).await.1, Ok(()));
}

#[tokio::test]
async fn versions_and_suites_must_meet() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let base = settings(&authority, &authority.issue("one"));
    let speaks = |version| load(&TlsSettings { protocols: vec![version], ..base.clone() });
    let (two, three) = (speaks(TlsProtocol::V12), speaks(TlsProtocol::V13));
    assert_eq!(meet(&two, &load(&base)).await, (Ok(()), Ok(())));
    assert_eq!(meet(&three, &load(&base)).await, (Ok(()), Ok(())));
    assert!(meet(&three, &two).await.0.is_err());
    let names = |name: &str| vec![name.to_owned(), "NONSENSE".to_owned()];
    let one = load(&TlsSettings { ciphersuites: names("TLS_AES_256_GCM_SHA384"), ..base.clone() });
    assert_eq!(meet(&one, &load(&base)).await, (Ok(()), Ok(())));
    let none = TlsSettings { ciphers: names("RC4-MD5"), ..base.clone() };
    assert!(refused(&none).starts_with("tls-ciphers 'RC4-MD5:NONSENSE' names no cipher suite"));
}

#[tokio::test]
async fn what_is_read_again_counts_for_new_connections_and_only_when_it_is_good() {
    let folder = Folder::new();
    let (house, street) = (Authority::new(&folder, "house"), Authority::new(&folder, "street"));
    let own = house.issue("own");
    let tls = load(&settings(&house, &own));
    let friend = load(&settings(&house, &house.issue("friend")));
    std::fs::write(&own.cert, "nothing").expect("the folder is ours");
    let why = tls.reload().expect_err("there is no certificate any more").to_string();
    assert!(why.starts_with("tls-cert-file ") && why.contains("own-0.crt"), "{why}");
    assert_eq!(meet(&friend, &tls).await, (Ok(()), Ok(())));
    street.issue("new").replace(&own);
    assert!(matches!(tls.reload(), Ok(true)));
    assert!(meet(&friend, &tls).await.0.is_err(), "now it shows the certificate of a stranger");
}

#[test]
fn what_is_wrong_is_said_with_the_file_and_nothing_of_the_key() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "house");
    let (one, two) = (authority.issue("one"), authority.issue("two"));
    let good = settings(&authority, &one);
    let junk = folder.path().join("junk");
    std::fs::write(&junk, "junk").expect("the folder is ours");
    let gone = folder.path().join("gone");
    for (settings, words) in [
        (TlsSettings { cert_file: None, ..good.clone() }, ["no tls-cert-file", "configured"]),
        (TlsSettings { key_file: None, ..good.clone() }, ["no tls-key-file", "configured"]),
        (TlsSettings { ca_cert_file: None, ..good.clone() }, ["tls-ca-cert-file", "tls-ca-cert-dir"]),
        (
            TlsSettings { cert_file: Some(gone.clone()), ..good.clone() },
            ["tls-cert-file", "gone: No such file"],
        ),
        (
            TlsSettings { key_file: Some(junk.clone()), ..good.clone() },
            ["tls-key-file", "junk: no private key"],
        ),
        (
            TlsSettings { ca_cert_file: Some(junk), ..good.clone() },
            ["tls-ca-cert-file", "junk: no certificate"],
        ),
        (TlsSettings { key_file: Some(two.key.clone()), ..good.clone() }, ["one-0.crt", "two-1.key"]),
        (TlsSettings { ca_cert_dir: Some(gone), ..good.clone() }, ["tls-ca-cert-dir", "gone: No such file"]),
    ] {
        let said = refused(&settings);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}

#[test]
fn without_a_port_and_without_outgoing_tls_nothing_is_read() {
    let tls = load(&TlsSettings { cert_file: Some("/nowhere".into()), ..TlsSettings::default() });
    assert!(!tls.is_outward() && matches!(tls.reload(), Ok(false)));
}
