//! A client that speaks just enough of Redis's protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Names and values, as SENTINEL MASTER answers.
pub type Fields = BTreeMap<String, String>;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR …`, without the dash.
    Error(String),
    /// `:1`
    Int(i64),
    /// A string, or the null one.
    Bulk(Option<String>),
    /// An array, or the null one.
    Array(Option<Vec<Value>>),
}

impl Value {
    /// The text of a string, simple or not.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Simple(text) | Value::Bulk(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// The text of an error.
    pub fn error(&self) -> Option<&str> {
        match self {
            Value::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(Some(items)) => items,
            _ => &[],
        }
    }

    /// An array of names and values by turns.
    pub fn fields(&self) -> Fields {
        let pairs = self.items().chunks_exact(2);
        pairs.filter_map(|pair| Some((pair[0].text()?.to_owned(), pair[1].text()?.to_owned()))).collect()
    }
}

/// A connection to a server on loopback.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects. Every later step may take as long as this one.
    pub fn connect(port: u16, patience: Duration) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    /// The same connection, after AUTH with that password, when there is one.
    pub fn authenticated(mut self, password: Option<&str>) -> Result<Client> {
        if let Some(password) = password {
            let reply = self.call(&["AUTH", password])?;
            reply.error().map_or(Ok(()), |text| Err(Error::new(ErrorKind::PermissionDenied, text)))?;
        }
        Ok(self)
    }

    /// From now on reading takes as long as it takes. The socket that is returned can end it.
    pub fn wait_forever(&mut self) -> Result<TcpStream> {
        self.0.get_ref().set_read_timeout(None)?;
        self.0.get_ref().try_clone()
    }

    /// Sends a command and reads its reply.
    pub fn call(&mut self, words: &[&str]) -> Result<Value> {
        self.send(words)?;
        self.read()
    }

    /// Sends a command.
    pub fn send(&mut self, words: &[&str]) -> Result<()> {
        self.send_all(&[words])
    }

    /// Sends commands that arrive together.
    pub fn send_all(&mut self, commands: &[&[&str]]) -> Result<()> {
        let mut text = String::new();
        for words in commands {
            text += &format!("*{}\r\n", words.len());
            for word in *words {
                text += &format!("${}\r\n{word}\r\n", word.len());
            }
        }
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// Reads one reply, or one message.
    pub fn read(&mut self) -> Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| bad("an empty line"))?;
        let number = || rest.parse::<i64>().map_err(|_| bad(&line));
        Ok(match kind {
            "+" => Value::Simple(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Int(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Value::Bulk(None),
                Ok(length) => Value::Bulk(Some(self.bulk(length)?)),
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Value::Array(None),
                Ok(count) => Value::Array(Some((0..count).map(|_| self.read()).collect::<Result<_>>()?)),
            },
            _ => return Err(bad(&line)),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }

    fn bulk(&mut self, length: usize) -> Result<String> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn bad(line: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not the protocol: {line}"))
}
