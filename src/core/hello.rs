//! The hello: how sentinels find each other and learn of failovers.

use crate::endpoint::EndpointError;
use crate::{Endpoint, Epoch, GroupName, SentinelId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The channel on which sentinels say hello.
pub const HELLO_CHANNEL: &str = "__sentinel__:hello";

/// What a sentinel says about itself and about one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Where the speaker can be reached.
    pub addr: Endpoint,
    /// Who speaks.
    pub id: SentinelId,
    /// The highest epoch that the speaker knows.
    pub current_epoch: Epoch,
    /// Which group it speaks of.
    pub group: GroupName,
    /// Where its master is.
    pub master: Endpoint,
    /// Since which failover.
    pub config_epoch: Epoch,
}

/// Why a text is no hello.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// Not eight fields.
    #[error("a hello has 8 fields separated by commas, this one has {0}")]
    Fields(usize),
    /// A field that should be an epoch.
    #[error("'{0}' is not an epoch that an honest sentinel could have reached")]
    Epoch(String),
    /// A field that should be an address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// An identity that no sentinel has.
    #[error("the sentinel's identity is not 40 hexadecimal digits")]
    Identity,
    /// A name that is empty or too long.
    #[error("the {0} is empty or longer than {MAX_NAME} bytes")]
    Name(&'static str),
}

const MAX_NAME: usize = 256;

impl Hello {
    /// Reads the text that a sentinel published.
    ///
    /// ```
    /// use consentinel_core::Hello;
    /// let text = "127.0.0.1,26379,6df32341cf9f5a5026a3663d9536d1edc577eca3,7,mymaster,127.0.0.1,6379,5";
    /// let hello = Hello::parse(text).expect("well formed");
    /// assert_eq!(hello.to_string(), text);
    /// assert!(Hello::parse("127.0.0.1,26379").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Hello, HelloError> {
        let mut fields = text.split(',');
        let mut next = || fields.next().unwrap_or_default();
        let (ip, port, id, current, group, master_ip, master_port, config) =
            (next(), next(), next(), next(), next(), next(), next(), next());
        let count = text.split(',').count();
        if count != 8 {
            return Err(HelloError::Fields(count));
        }
        Ok(Hello {
            addr: Endpoint::parse(ip, port)?,
            id: SentinelId::parse(id).ok_or(HelloError::Identity)?,
            current_epoch: epoch(current)?,
            group: GroupName::new(named("master's name", group)?),
            master: Endpoint::parse(master_ip, master_port)?,
            config_epoch: epoch(config)?,
        })
    }
}

fn named<'a>(what: &'static str, text: &'a str) -> Result<&'a str, HelloError> {
    let fits = !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(|c| c.is_ascii_graphic());
    if fits { Ok(text) } else { Err(HelloError::Name(what)) }
}

fn epoch(text: &str) -> Result<Epoch, HelloError> {
    match text.parse().map(Epoch) {
        Ok(epoch) if epoch <= Epoch::MAX => Ok(epoch),
        _ => Err(HelloError::Epoch(text.chars().take(40).collect())),
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hello { addr, id, current_epoch, group, master, config_epoch } = self;
        write!(f, "{},{},{id},{current_epoch},{group},", addr.host, addr.port)?;
        write!(f, "{},{},{config_epoch}", master.host, master.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "6df32341cf9f5a5026a3663d9536d1edc577eca3";

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = Hello::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(epoch in 0..=Epoch::MAX.0, port: u16, name in "[a-z0-9._-]{1,20}") {
            let text = format!("10.1.2.3,{port},{ID},{epoch},{name},redis.example,{port},{epoch}");
            prop_assert_eq!(Hello::parse(&text).expect("well formed").to_string(), text);
        }
    }

    #[test]
    fn a_forged_epoch_is_refused() {
        let text = format!("127.0.0.1,26379,{ID},18446744073709551615,mymaster,127.0.0.1,6379,5");
        assert!(matches!(Hello::parse(&text), Err(HelloError::Epoch(_))));
    }

    #[test]
    fn an_identity_that_no_file_could_carry_is_refused() {
        for id in ["x", "", "*", &ID[1..], &format!("{ID}0"), &ID.replace('6', "g")] {
            let text = format!("127.0.0.1,26379,{id},7,mymaster,127.0.0.1,6379,5");
            assert_eq!(Hello::parse(&text), Err(HelloError::Identity), "{id}");
        }
    }

    #[test]
    fn a_ninth_field_is_refused() {
        let text = format!("127.0.0.1,26379,{ID},7,mymaster,127.0.0.1,6379,5,extra");
        assert_eq!(Hello::parse(&text), Err(HelloError::Fields(9)));
    }
}
